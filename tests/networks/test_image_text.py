"""The image-text model against its formulas, and two processes against one."""

import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder, ViTEncoder, parameter_groups
from mammo.networks.gather_embeddings import gather_with_gradient
from mammo.networks.image_text import ImageTextModel
from mammo.networks.losses.image_text import NOTHING, ImageTextContrastiveLoss, MultiViewSupervision, SigmoidLoss
from mammo.networks.text_encoder import TextEncoder, small_text_encoder
from torch import nn
from torch.nn import functional as F

SAID = (
    ((5,), (1, 6), (1, 5, 6)),
    ((7,), (5,), (5, 7)),
    ((8,), (2,), (2, 8)),
    ((5,), (2**60,), (5, 2**60)),
)
"""By text, other text and report of four pairs; the last two say less at once than the first two."""
WORKER = Path(__file__).with_name("two_process_clip.py")
ENCODERS = {
    "swin": lambda: SwinEncoder(size="micro"),
    "vit": lambda: ViTEncoder(image_size=(64, 64), size="micro"),
}


class Convolutions(nn.Module):
    """A tiny encoder with batch norm whose tokens see 4 x 4 pixels each."""

    in_channels, out_channels, stride = 1, 6, 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 6, 4, stride=4), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.layers(x)]


def texts() -> TextEncoder:
    return small_text_encoder(30, width=16, depth=1, heads=2, length=16)


def model(**options) -> ImageTextModel:
    return ImageTextModel(Convolutions(), texts(), 10, **options)


def batch(n: int = 4, size: int = 32) -> dict[str, torch.Tensor]:
    mask = (torch.arange(7) < torch.randint(2, 8, (n, 1))).long()
    return {
        "x": torch.rand(n, 1, size, size),
        "other": torch.rand(n, 1, size, size),
        "tokens": torch.randint(0, 30, (n, 7)),
        "mask": mask,
        "other_tokens": torch.randint(0, 30, (n, 5)),
        "other_mask": torch.ones(n, 5, dtype=torch.int64),
    }


def one_view(n: int = 4) -> dict[str, torch.Tensor]:
    return {name: values for name, values in batch(n).items() if not name.startswith("other")}


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("pooling", ["average", "mask"])
def test_images_become_what_a_linear_head_on_the_classifiers_features_gives(kind, pooling):
    network = ImageTextModel(ENCODERS[kind](), None, 10, pooling=pooling).eval()
    head = MammogramClassifier(network.encoder, {"task": 10}, pooling=pooling).eval()
    head.head.load_state_dict(network.image_projection.state_dict())
    breast = (torch.rand(3, 1, 64, 64) < 0.4).float()
    for x in (torch.rand(3, 1, 64, 64), torch.cat([torch.rand(3, 1, 64, 64), breast], dim=1)):
        logits = head(x)
        vectors = network.embed_images(x)
        torch.testing.assert_close(vectors, logits / logits.norm(dim=1, keepdim=True))
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_only_the_breast_counts_with_mask_pooling():
    image = torch.rand(2, 1, 32, 32)
    breast = torch.zeros(2, 1, 32, 32)
    breast[..., :16] = 1
    changed = torch.where(breast > 0, image, torch.rand(2, 1, 32, 32))
    for pooling, equal in (("mask", True), ("average", False)):
        network = model(pooling=pooling).eval()
        vectors = [network.embed_images(torch.cat([x, breast], dim=1)) for x in (image, changed)]
        assert torch.allclose(*vectors, atol=1e-6) is equal


def test_a_batch_norm_of_pooled_features_tells_images_apart_that_are_nearly_the_same():
    """Two images in a thousand differ little behind an untrained encoder, and not at all in the norm's eyes."""
    torch.manual_seed(0)
    images = 0.5 + 1e-3 * torch.rand(8, 1, 32, 32)
    plain, normed = model(), model(head_norm="batch")
    normed.load_state_dict(plain.state_dict(), strict=False)
    alike, apart = (embedded @ embedded.T for embedded in (one.embed_images(images) for one in (plain, normed)))
    assert alike.min() > 0.99 > 0.5 > apart.min()
    pooled = plain.encoder(images)[-1].mean(dim=(-2, -1))
    whitened = (pooled - pooled.mean(dim=0)) / (pooled.var(dim=0, unbiased=False) + normed.head_norm.eps).sqrt()
    expected = F.normalize(plain.image_projection(whitened), dim=-1)
    torch.testing.assert_close(normed.embed_images(images), expected, atol=1e-3, rtol=0)


def test_texts_are_projected_to_unit_length():
    network, given = model().eval(), batch()
    pooled = network.text_encoder(given["tokens"], given["mask"])
    projected = pooled @ network.text_projection.weight.mT + network.text_projection.bias
    vectors = network.embed_texts(given["tokens"], given["mask"])
    torch.testing.assert_close(vectors, projected / projected.norm(dim=1, keepdim=True))


def test_the_mlp_projection_is_a_residual_around_a_linear_map():
    network = model(projection="mlp").double().eval()
    features = torch.randn(5, 6, dtype=torch.float64)
    inner = network.image_projection
    y = features @ inner.linear.weight.mT + inner.linear.bias
    gelu = 0.5 * y * (1 + torch.erf(y / math.sqrt(2)))
    z = y + gelu @ inner.mlp[1].weight.mT + inner.mlp[1].bias
    z = (z - z.mean(dim=1, keepdim=True)) / (z.var(dim=1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(inner(features), z)
    assert not torch.equal(inner.train()(features), inner(features))


def test_dropout_falls_on_pooled_features_in_training_alone():
    network, x = model(dropout=0.5), torch.rand(1, 1, 32, 32)
    network.encoder.eval()
    assert not torch.equal(network.embed_images(x), network.embed_images(x))
    network.eval()
    torch.testing.assert_close(network.embed_images(x), network.embed_images(x), rtol=0, atol=0)


def test_one_call_gives_what_each_tower_gives():
    network, given = model().eval(), batch()
    output = network(**given)
    torch.testing.assert_close(output.image, network.embed_images(given["x"]))
    torch.testing.assert_close(output.other_image, network.embed_images(given["other"]))
    torch.testing.assert_close(output.text, network.embed_texts(given["tokens"], given["mask"]))
    torch.testing.assert_close(output.other_text, network.embed_texts(given["other_tokens"], given["other_mask"]))
    alone = network(**{name: given[name] for name in ("x", "tokens", "mask")})
    assert alone.other_image is None
    assert alone.other_text is None
    torch.testing.assert_close(alone.image, output.image)


@pytest.mark.parametrize("kind", ["convolutions", *ENCODERS])
@pytest.mark.parametrize("projection", ["linear", "mlp"])
def test_every_weight_is_trained_by_one_call(kind, projection):
    encoder = Convolutions() if kind == "convolutions" else ENCODERS[kind]()
    network = ImageTextModel(encoder, texts(), 10, projection=projection)
    MultiViewSupervision()(network(**batch(size=64))).backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


def test_one_view_and_a_bias_train_every_weight_too():
    for network, objective in ((model(), ImageTextContrastiveLoss()), (model(bias=-10.0), SigmoidLoss())):
        objective(network(**one_view())).backward()
        assert [name for name, value in network.named_parameters() if value.grad is None] == []


def test_batch_norm_sees_one_view_after_the_other():
    given, networks = batch(), [model(), model()]
    networks[1].load_state_dict(networks[0].state_dict())
    networks[0](**given)
    norm = networks[1].encoder.layers[1]
    for view in ("x", "other"):
        features = networks[1].encoder.layers[0](given[view]).transpose(0, 1).flatten(1)  # (C, values)
        norm.running_mean.mul_(0.9).add_(0.1 * features.mean(dim=1))
        norm.running_var.mul_(0.9).add_(0.1 * features.var(dim=1))
    norm.num_batches_tracked.fill_(2)
    torch.testing.assert_close(dict(networks[0].named_buffers()), dict(networks[1].named_buffers()))


def test_the_scale_starts_at_the_temperature_and_stays_in_its_bounds():
    network = model(temperature=0.07, max_scale=50.0)
    assert network.scale.item() == pytest.approx(1 / 0.07, rel=1e-6)
    for log_scale, expected in ((-1.0, 1.0), (0.5, math.exp(0.5)), (9.0, 50.0)):
        nn.init.constant_(network.logit_scale, log_scale)
        assert network.scale.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("log_scale", "grows", "moves"), [(9.0, True, False), (9.0, False, True), (-1.0, False, False)]
)
def test_a_scale_beyond_its_bounds_can_only_come_back(log_scale, grows, moves):
    network = model()
    nn.init.constant_(network.logit_scale, log_scale)
    (-network.scale if grows else network.scale).backward()
    assert (network.logit_scale.grad != 0).item() is moves


def test_within_its_bounds_the_scale_has_the_gradient_of_the_exponential():
    network = model(temperature=0.1)
    network.scale.backward()
    assert network.logit_scale.grad.item() == pytest.approx(10.0, rel=1e-6)


def test_scale_and_bias_are_not_decayed():
    network = model(bias=-10.0)
    groups = parameter_groups(network, 1e-3, 0.1, decay_norms=False)
    (spared,) = [group["params"] for group in groups if group["weight_decay"] == 0]
    for parameter in (network.logit_scale, network.logit_bias):
        assert any(one is parameter for one in spared)


def test_vectors_are_float32_of_unit_length_under_autocast():
    given = one_view()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model()(**given)
    assert output.image.dtype is output.text.dtype is torch.float32
    torch.testing.assert_close(output.image.norm(dim=1), torch.ones(4))


def test_images_are_embedded_without_a_text_encoder():
    whole = model().eval()
    alone = ImageTextModel(Convolutions(), None, 10).eval()
    state = {name: value for name, value in whole.state_dict().items() if not name.startswith("text")}
    alone.load_state_dict(state)
    x = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(alone.embed_images(x), whole.embed_images(x))
    with pytest.raises(ValueError, match="has no text encoder"):
        alone(**one_view())


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 32, 32)])
def test_error_names_the_channels_wanted(shape):
    with pytest.raises(ValueError, match=r"takes \(B, 1, H, W\), or \(B, 2, H, W\) with the breast mask last; got"):
        model().embed_images(torch.rand(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.001}, r"temperature 0\.001 must lie"),
        ({"temperature": 2.0}, r"temperature 2\.0 must lie"),
        ({"pooling": "max"}, "max"),
        ({"projection": "cubic"}, "cubic"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)


def test_a_text_without_its_mask_is_refused():
    given = batch()
    del given["other_mask"]
    with pytest.raises(ValueError, match="other_tokens and other_mask go together"):
        model()(**given)


def test_one_process_gathers_itself():
    x = torch.rand(3, 2)
    assert gather_with_gradient(x) is x


@pytest.fixture(scope="module")
def worker():
    spec = importlib.util.spec_from_file_location(WORKER.stem, WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def joined() -> dict[str, torch.Tensor]:
    """Four pairs, two a process; equal texts are in both, among them one that is the other text of another."""
    generator = torch.Generator().manual_seed(1)
    given = {name: torch.rand(4, 2, 32, 32, generator=generator).round(decimals=2) for name in ("image", "other")}
    for name in ("tokens", "other_tokens"):
        given[name] = torch.randint(0, 40, (4, 6), generator=generator)
    return given | {
        "mask": (torch.arange(6) < torch.tensor([6, 3, 4, 2])[:, None]).long(),
        "other_mask": torch.ones(4, 6, dtype=torch.int64),
        "groups": torch.tensor([[list(ids) + [NOTHING] * (3 - len(ids)) for ids in breast] for breast in SAID]),
    }


@pytest.fixture(scope="module")
def together(joined, tmp_path_factory) -> list[dict]:
    """What each of two processes saved."""
    folder = tmp_path_factory.mktemp("together")
    torch.save(joined, folder / "batch.pt")
    command = [sys.executable, str(WORKER), str(folder / "batch.pt"), str(folder / "rank")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    return [torch.load(folder / f"rank.{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("kind", ["views", "views in chunks", "clip", "sigmoid"])
def test_two_processes_take_the_step_of_one_on_the_joined_batch(kind, together, worker, joined):
    alone = worker.result_of(kind, joined)
    halves = [worker.result_of(kind, {name: values.chunk(2)[i] for name, values in joined.items()}) for i in (0, 1)]
    apart = {name: (halves[0][name] + halves[1][name]) / 2 for name in alone}
    ungrouped = worker.result_of(kind, joined | {"groups": torch.arange(4)})
    for other in (apart, ungrouped):  # else the comparison would say nothing
        assert (other["loss"] - alone["loss"]).abs() > 1e-3
        assert (F.cosine_similarity(*(each["image_projection.bias"] for each in (other, alone)), dim=0)) < 0.999
    for shared in together:
        assert shared[kind].keys() == alone.keys()
        for name, expected in alone.items():
            torch.testing.assert_close(shared[kind][name], expected, rtol=1e-4, atol=1e-6, msg=name)
