"""Pooled features of a frozen encoder, kept or made anew, and the head that is trained on them."""

import numpy as np
import pytest
import torch
from mammo.networks import EfficientNetEncoder, MammogramClassifier, SwinEncoder
from mammo.networks.classifier import pool_over
from mammo.networks.named_encoder import named_encoder
from mammo.networks.probe_head import ProbeHead
from mammo.pipeline.datasets.store import PreparedDataset
from mammo.pipeline.features import FrozenFeatures
from monai.transforms import ConcatItemsd, EnsureTyped, MapTransform, RandFlipd, SelectItemsd
from sklearn.preprocessing import StandardScaler


class ReadArray(MapTransform):
    """An array from a file, brighter by a factor, and the mask of what is not black."""

    def __init__(self, keys, factor=1.0):
        super().__init__(keys)
        self.factor = factor

    def __call__(self, data):
        image = torch.from_numpy(np.load(data["image"])) * self.factor
        return {**data, "image": image, "mask": (image > 0).float()}


@pytest.fixture
def records(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for number in range(5):
        picture = rng.random((1, 64, 32), dtype=np.float32)
        picture[..., 20:] = 0
        np.save(tmp_path / f"{number}.npy", picture)
        found.append({"image": str(tmp_path / f"{number}.npy"), "image_id": f"i{number}", "label": [number % 2]})
    return found


def prepared(records, factor=1.0, random=False):
    steps = [ReadArray("image", factor), *([RandFlipd("image", prob=0.5)] if random else [])]
    last = [ConcatItemsd(["image", "mask"], name="image"), EnsureTyped("image", track_meta=False)]
    return PreparedDataset(records, [*steps, *last, SelectItemsd(["image", "image_id"])])


def classifier(encoder=None, **options):
    encoder = encoder or SwinEncoder(size="micro")
    return MammogramClassifier(encoder, {"finding": 2}, freeze=True, **options).eval()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return classifier()


def encoded_again(network, images, folder, **options):
    """How many of the images another run encodes."""
    features = FrozenFeatures(network, folder=folder, **options)
    features(images)
    return features.encoded


@pytest.mark.parametrize("pooling", ["average", "mask"])
def test_vectors_are_what_the_head_is_given(pooling, records):
    network = classifier(pooling=pooling)
    images = prepared(records)
    items = FrozenFeatures(network, batch_size=2)(images)
    x = torch.stack([item["image"] for item in images])
    with torch.no_grad():
        last = network.encoder(x[:, :1])[-1]
        expected = last.mean(dim=(-2, -1)) if pooling == "average" else pool_over(last, x[:, 1:], 32)
        logits = network(x)
        probed = ProbeHead(network, FrozenFeatures.stacked(items)).eval()(FrozenFeatures.stacked(items))
    torch.testing.assert_close(FrozenFeatures.stacked(items), expected)
    torch.testing.assert_close(probed, logits)
    assert [item["image_id"] for item in items] == [record["image_id"] for record in records]
    assert [item["label"].tolist() for item in items] == [record["label"] for record in records]


def test_nothing_of_the_network_moves_while_it_encodes(records):
    network = classifier(EfficientNetEncoder(size="b0"), dropout=0.9).train()
    network.encoder.train()  # as if somebody had forgotten
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, second = (FrozenFeatures.stacked(FrozenFeatures(network)(prepared(records))) for _ in range(2))
    torch.testing.assert_close(first, second)  # no drop-connect
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


def test_an_image_is_encoded_once_and_others_join(network, records, tmp_path):
    folder = tmp_path / "features"
    assert encoded_again(network, prepared(records[:3]), folder) == 3
    assert encoded_again(network, prepared(records[:3]), folder) == 0
    assert encoded_again(network, prepared(records), folder) == 2
    features = FrozenFeatures(network, folder=folder)
    kept = FrozenFeatures.stacked(features(prepared(records[::-1])))
    assert (features.encoded, features.reused) == (0, 5)
    torch.testing.assert_close(kept, FrozenFeatures.stacked(FrozenFeatures(network)(prepared(records[::-1]))))
    assert encoded_again(network, prepared(records), folder, force_recompute=True) == 5


def _moved(network):
    next(network.encoder.parameters()).data[0] += 1e-3
    return network


def test_another_encoder_gets_no_vectors_of_this_one(records, tmp_path):
    def fresh(**options):
        torch.manual_seed(0)
        return classifier(SwinEncoder(size="micro", **options))

    images = prepared(records)
    assert encoded_again(fresh(), images, tmp_path) == 5
    assert encoded_again(fresh(), images, tmp_path) == 0
    head = fresh()
    head.head.weight.data.zero_()
    assert encoded_again(head, images, tmp_path) == 0  # the head does not matter
    assert encoded_again(_moved(fresh()), images, tmp_path) == 5
    assert encoded_again(fresh(image_mean=0.1), images, tmp_path) == 5
    assert encoded_again(fresh(), images, tmp_path, precision="bfloat16") == 5
    assert encoded_again(classifier(fresh().encoder, pooling="average"), images, tmp_path) == 5


def test_running_statistics_are_part_of_an_encoder(records, tmp_path):
    network = classifier(EfficientNetEncoder(size="b0"))
    assert encoded_again(network, prepared(records[:1]), tmp_path) == 1
    network.encoder.network._bn0.running_mean += 0.1
    assert encoded_again(network, prepared(records[:1]), tmp_path) == 1


def test_another_preparation_or_picture_is_encoded(network, records, tmp_path):
    assert encoded_again(network, prepared(records), tmp_path / "f") == 5
    assert encoded_again(network, prepared(records, factor=0.5), tmp_path / "f") == 5
    np.save(records[0]["image"], np.ones((1, 64, 32), np.float32))
    assert encoded_again(network, prepared(records), tmp_path / "f") == 1


def test_a_damaged_file_is_made_anew(network, records, tmp_path, caplog):
    images = prepared(records)
    assert encoded_again(network, images, tmp_path / "f") == 5
    (file,) = (tmp_path / "f").glob("*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    assert encoded_again(network, images, tmp_path / "f") == 5
    file.write_bytes(whole[:-4] + bytes(4))
    assert encoded_again(network, images, tmp_path / "f") == 5
    assert caplog.text.count("is damaged") == 2
    assert encoded_again(network, images, tmp_path / "f") == 0


def test_vectors_of_another_encoder_under_this_ones_name_are_refused(network, records, tmp_path):
    images, other = prepared(records), classifier()
    encoded_again(network, images, tmp_path / "a")
    encoded_again(other, images, tmp_path / "b")
    (mine,), (theirs,) = (list((tmp_path / name).glob("*.safetensors")) for name in "ab")
    mine.write_bytes(theirs.read_bytes())
    with pytest.raises(ValueError, match="of another encoder or preparation; delete it"):
        encoded_again(network, images, tmp_path / "a")


def test_augmentation_is_refused(network, records):
    with pytest.raises(ValueError, match="random transforms"):
        FrozenFeatures(network)(prepared(records, random=True))


def test_the_norm_of_a_probe_is_that_of_all_training_vectors():
    network, vectors = classifier(head_norm="batch"), torch.randn(50, SwinEncoder(size="micro").out_channels) * 3 + 7
    probe = ProbeHead(network, vectors).train()
    given = []
    network.head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    probe(vectors[:8])  # a batch does not change it
    expected = StandardScaler().fit(vectors.double().numpy()).transform(vectors[:8].double().numpy())
    np.testing.assert_allclose(given[0].numpy(), expected, atol=1e-4)
    assert {name for name, _ in probe.named_parameters()} == {"head.weight", "head.bias"}


def test_a_probe_wants_a_frozen_encoder_and_its_own_vectors():
    trained = MammogramClassifier(SwinEncoder(size="micro"), {"finding": 2})
    with pytest.raises(ValueError, match="freeze=True"):
        ProbeHead(trained, torch.zeros(2, trained.encoder.out_channels))
    with pytest.raises(ValueError, match="features must be"):
        ProbeHead(classifier(), torch.zeros(2, 3))


@pytest.mark.parametrize(("name", "size"), [("efficientnet", "b0"), ("swin", "micro"), ("vit", "micro")])
def test_encoders_by_name_are_those_of_their_class(name, size):
    options = {"drop_path": 0.1, "image_mean": 0.4, "image_std": 0.2}
    encoder = named_encoder(name, size=size, image_size=[64, 32], **options)
    assert type(encoder).__name__.lower() == f"{name}encoder"
    assert (encoder.image_mean, encoder.image_std) == (0.4, 0.2)
    assert encoder(torch.zeros(1, 1, 64, 32))[-1].shape[1] == encoder.out_channels


def test_an_unknown_encoder_is_refused():
    with pytest.raises(ValueError, match="resnet"):
        named_encoder("resnet", size="b0", image_size=[64, 32])
