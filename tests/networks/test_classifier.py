import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder, split_tasks
from monai.networks.nets.swin_unetr import WindowAttention
from monai.visualize import GradCAM
from torch import Tensor


@pytest.fixture
def classifier() -> MammogramClassifier:
    network = MammogramClassifier(SwinEncoder(size="micro", patch_size=4), {"pathology": 2, "density": 4}).eval()
    torch.nn.init.normal_(network.head.bias)
    return network


def image_and_mask(size: tuple[int, int]) -> Tensor:
    x = torch.rand(2, 2, *size)
    x[:, 1] = (torch.linspace(0, 1, size[1]) < 0.6).float()
    x[1, 1, : size[0] // 3] = 0
    return x


@pytest.mark.parametrize("size", [(224, 224), (96, 160), (100, 70)])
def test_vectors_are_means_weighted_by_the_area_of_breast_and_background(classifier, size):
    x = image_and_mask(size)
    details = classifier(x, details=True)
    features = classifier.encoder(x[:, :1])[-1]
    for image in range(2):
        sums = {"breast": torch.zeros(192), "background": torch.zeros(192)}
        weights = dict.fromkeys(sums, 0.0)
        for row in range(features.shape[-2]):
            for column in range(features.shape[-1]):
                pixels = x[image, 1, 32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
                for name, area in (("breast", pixels.sum()), ("background", (1 - pixels).sum())):
                    sums[name] += area * features[image, :, row, column]
                    weights[name] += area.item()
        for name, total in sums.items():
            torch.testing.assert_close(details[name][image], total / weights[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(details["logits"], classifier.head(details["breast"]))


def test_details_leave_the_logits_as_they_are(classifier):
    x = image_and_mask((96, 96))
    torch.testing.assert_close(classifier(x), classifier(x, details=True)["logits"], rtol=0, atol=1e-6)


def test_details_hold_the_attention_of_every_layer_with_gradients(classifier):
    details = classifier(image_and_mask((96, 96)), details=True)
    assert len(details["attention"]) == sum(isinstance(m, WindowAttention) for m in classifier.modules())
    gradients = torch.autograd.grad(details["logits"][:, 0].sum(), details["attention"])
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_missing_mask_is_a_mask_of_ones(classifier):
    image = torch.rand(1, 1, 96, 96)
    with_ones = torch.cat([image, torch.ones_like(image)], dim=1)
    torch.testing.assert_close(classifier(image), classifier(with_ones), rtol=0, atol=0)


def test_mask_pooling_over_the_whole_frame_is_average_pooling(classifier):
    average = MammogramClassifier(classifier.encoder, classifier.tasks, pooling="average").eval()
    average.load_state_dict(classifier.state_dict())
    image = torch.rand(2, 1, 96, 160)
    torch.testing.assert_close(classifier(image), average(image))


def test_average_pooling_does_not_see_the_mask(classifier):
    average = MammogramClassifier(classifier.encoder, pooling="average").eval()
    x = image_and_mask((96, 96))
    torch.testing.assert_close(average(x), average(x[:, :1]))


def test_empty_mask_gives_the_bias(classifier):
    x = torch.rand(1, 2, 96, 96)
    x[:, 1] = 0
    details = classifier(x, details=True)
    torch.testing.assert_close(details["logits"][0], classifier.head.bias)
    assert (details["breast"] == 0).all()


def test_tasks_are_cut_from_the_logits_in_order():
    logits = torch.arange(12.0).reshape(2, 6)
    parts = split_tasks(logits, {"a": 2, "b": 4})
    assert list(parts) == ["a", "b"]
    torch.testing.assert_close(torch.cat(list(parts.values()), dim=1), logits)
    assert parts["a"].shape == (2, 2)


def test_tasks_that_do_not_fit_the_logits_are_refused():
    with pytest.raises(ValueError, match="5 classes"):
        split_tasks(torch.rand(2, 6), {"a": 2, "b": 3})


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_trace_gives_the_same_logits_for_any_batch(classifier):
    traced = torch.jit.trace(classifier, image_and_mask((96, 160)))
    x = torch.cat([image_and_mask((96, 160)), torch.rand(3, 2, 96, 160).round()])
    torch.testing.assert_close(traced(x), classifier(x))


def test_gradcam_of_monai_equals_the_formula(classifier):
    x = image_and_mask((96, 160))[:1]
    cam = GradCAM(nn_module=classifier, target_layers="encoder.features")
    ours = cam.compute_map(x, class_idx=1)
    features = classifier.encoder(x[:, :1])[-1].detach().requires_grad_()
    score = classifier._classify(features, x[:, 1:])["logits"][0, 1]
    (gradient,) = torch.autograd.grad(score, features)
    expected = (gradient.mean(dim=(-2, -1), keepdim=True) * features).sum(dim=1, keepdim=True).relu()
    torch.testing.assert_close(torch.as_tensor(ours), expected.detach())


@pytest.mark.parametrize("channels", [3, 4])
def test_other_channels_are_refused(classifier, channels):
    with pytest.raises(ValueError, match="with the breast mask last"):
        classifier(torch.rand(1, channels, 64, 64))


@pytest.mark.parametrize("tasks", [{}, {"pathology": 1}])
def test_tasks_without_a_choice_are_refused(tasks):
    with pytest.raises(ValueError, match="two classes or more"):
        MammogramClassifier(SwinEncoder(size="micro", patch_size=4), tasks)


def test_batch_norm_before_the_head_makes_pooled_features_of_unit_variance():
    torch.manual_seed(0)
    classifier = MammogramClassifier(SwinEncoder(size="micro"), head_norm="batch").train()
    seen = []
    classifier.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.cat([image_and_mask((64, 64)) * level for level in (0.9, 0.95, 1.0)])
    x[:, 1] = x[:, 1].round()
    classifier(x)
    torch.testing.assert_close(seen[0].mean(dim=0), torch.zeros(192), rtol=0, atol=1e-4)
    deviation = classifier(x, details=True)["breast"].std(dim=0, correction=0)
    assert ((seen[0].std(dim=0, correction=0) - 1).abs() < 0.05)[deviation > 0.02].all()


def test_a_batch_of_one_can_be_trained_with_batch_norm_before_the_head():
    classifier = MammogramClassifier(SwinEncoder(size="micro"), head_norm="batch").train()
    before = classifier.head_norm.running_mean.clone()
    classifier(image_and_mask((128, 128))[:1]).sum().backward()
    assert torch.equal(classifier.head_norm.running_mean, before)
    assert classifier.head.weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="instance"):
        MammogramClassifier(SwinEncoder(size="micro"), head_norm="instance")
