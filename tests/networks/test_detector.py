"""The lesion detector on a tiny Swin, against boxes whose place is known."""

import pytest
import torch
from mammo.networks import (
    EfficientNetEncoder,
    LesionDetector,
    MammogramClassifier,
    MapPyramid,
    SwinEncoder,
    ViTEncoder,
    load_encoder,
)
from mammo.networks.losses import DetectionObjective
from monai.data.box_utils import box_iou


@pytest.fixture
def detector() -> LesionDetector:
    return LesionDetector(SwinEncoder(size="micro"), classes=2, channels=16)


def target(*boxes: list[float], label: int = 0) -> dict[str, torch.Tensor]:
    return {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.full((len(boxes),), label)}


def test_levels_have_the_strides_of_the_encoder(detector):
    levels = detector.network.feature_extractor(torch.rand(1, 2, 128, 64))
    assert [tuple(level.shape) for level in levels] == [(1, 16, 16, 8), (1, 16, 8, 4), (1, 16, 4, 2), (1, 16, 2, 1)]
    assert detector.network.feature_extractor.strides == (8, 16, 32, 64)


@pytest.mark.parametrize("strides", [(8, 16, 32, 64, 128), (16, 32), (4, 8, 16, 32, 64, 128)])
def test_levels_are_those_asked_for(strides):
    pyramid = MapPyramid(EfficientNetEncoder(size="b0"), 16, strides).eval()
    levels = pyramid(torch.rand(1, 2, 256, 128))
    assert pyramid.strides == strides
    assert [tuple(level.shape) for level in levels] == [(1, 16, 256 // s, 128 // s) for s in strides]


def test_anchors_lie_at_the_strides_of_their_levels_whatever_the_size_of_the_image():
    """160 rows hold two and a half places of stride 64: laid over three, they would stand 53 rows apart."""
    strides = (8, 16, 32, 64, 128)
    detector = LesionDetector(EfficientNetEncoder(size="b0"), channels=16, strides=strides, aspect_ratios=[1.0]).eval()
    with torch.no_grad():
        detector(torch.rand(1, 1, 160, 96))
    anchors, places = detector.anchors[0], [256 * 128 // s**2 for s in strides]
    assert len(anchors) == sum(places)
    for level, stride in zip(anchors.split(places), strides, strict=True):
        centres = (level[:, :2] + level[:, 2:]) / 2
        assert set(centres[:, 0].tolist()) == set(torch.arange(stride / 2, 256, stride).tolist())
        torch.testing.assert_close(level[:, 2:] - level[:, :2], torch.full_like(centres, 4.0 * stride))


@pytest.mark.parametrize(
    ("encoder", "strides", "words"),
    [
        (EfficientNetEncoder(size="b0"), (8, 16), r"give the last ones of \[4, 8, 16, 32\]"),
        (EfficientNetEncoder(size="b0"), (8, 16, 32, 64), "64 and 128 behind them"),
        (EfficientNetEncoder(size="b0"), (16, 8, 32), r"strides=\[16, 8, 32\]"),
        (SwinEncoder(size="micro"), (), "give the last ones"),
        (ViTEncoder(image_size=(64, 64), size="micro"), None, "all maps of ViTEncoder have stride 16"),
    ],
)
def test_levels_that_an_encoder_does_not_give_are_refused(encoder, strides, words):
    with pytest.raises(ValueError, match=words):
        LesionDetector(encoder, channels=16, strides=strides)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_encoder_does_not_move_its_statistics_neither(freeze):
    encoder = EfficientNetEncoder(size="b0")
    detector = LesionDetector(encoder, channels=16, strides=(16, 32), freeze=freeze).train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], lr=0.1)
    sum(detector(torch.rand(2, 1, 64, 64), [target([8.0, 8, 32, 32]), target()]).values()).backward()
    optimizer.step()
    changed = {name for name, tensor in encoder.state_dict().items() if not torch.equal(tensor, before[name])}
    assert bool(changed) is not freeze
    assert freeze or {name.rpartition(".")[2] for name in changed} >= {"weight", "running_mean", "running_var"}
    assert all(part.training is not freeze for part in encoder.modules())
    assert detector.network.feature_extractor.pyramid.training


def test_the_detector_sees_the_maps_of_the_pretrained_encoder(tmp_path):
    """The released detector padded its backbone as for a full square, and so had maps of its own."""
    classifier = MammogramClassifier(EfficientNetEncoder(size="b0")).train()
    classifier(torch.rand(4, 1, 64, 64))
    torch.save(classifier.state_dict(), tmp_path / "best.pt")
    encoder = load_encoder(EfficientNetEncoder(size="b0"), tmp_path / "best.pt")
    detector = LesionDetector(encoder, channels=16, strides=(8, 16, 32, 64, 128)).eval()
    seen = []
    encoder.register_forward_hook(lambda module, given, maps: seen.extend(maps))
    x = torch.rand(1, 1, 256, 128)
    with torch.no_grad():
        detector(x)
        expected = classifier.eval().encoder(x)
    for found, true in zip(seen, expected, strict=True):
        torch.testing.assert_close(found, true)


def test_a_batch_with_and_without_lesions_trains_every_weight(detector):
    targets = [target([10.0, 8, 40, 30], [60.0, 20, 90, 50]), target()]
    losses = detector(torch.rand(2, 2, 128, 64), targets)
    DetectionObjective()(losses, targets).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in detector.parameters())


def test_images_without_lesions_have_no_box_loss_and_leave_no_weight_without_gradient(detector):
    losses = detector(torch.rand(2, 1, 128, 64), [target(), target()])
    assert losses["box_regression"] == 0
    assert losses["classification"] > 0
    sum(losses.values()).backward()
    assert all(weight.grad is not None for weight in detector.parameters())


@pytest.mark.parametrize("box", [[10.0, 8, 40, 30], [3.0, 3, 4, 4], [0.0, 0, 128, 64], [5.0, 1, 120, 4]])
def test_every_lesion_has_an_anchor(detector, box):
    detector.eval()
    detector(torch.rand(1, 1, 128, 64))
    locations = [128, 32, 8, 2]
    (matched,) = detector.compute_anchor_matched_idxs(detector.anchors, [target(box, [70.0, 30, 90, 50])], locations)
    assert set(matched.tolist()) == {-1, 0, 1}


def test_the_matched_anchor_decodes_to_its_box(detector):
    box = torch.tensor([[10.0, 8, 40, 30]])
    detector.eval()
    detector(torch.rand(1, 1, 128, 64))
    (matched,) = detector.compute_anchor_matched_idxs(detector.anchors, [target(*box.tolist())], [128, 32, 8, 2])
    anchors = detector.anchors[0][matched >= 0]
    codes = detector.box_coder.encode_single(box.expand(len(anchors), 4), anchors)
    torch.testing.assert_close(detector.box_coder.decode_single(codes, anchors), box.expand(len(anchors), 4))


def test_detections_lie_inside_the_image_and_are_sorted_by_score(detector):
    detector.eval()
    detector.set_box_selector_parameters(score_thresh=0.0, nms_thresh=0.2, detections_per_img=7)
    with torch.no_grad():
        batch = detector(torch.rand(2, 1, 100, 50))  # padded inside to multiples of the stride
    for found in batch:
        assert 1 <= len(found["boxes"]) <= 7
        assert (found["boxes"][:, :2] >= 0).all()
        assert (found["boxes"][:, 2:] <= torch.tensor([100.0, 50.0])).all()
        assert (found["labels_scores"].diff() <= 0).all()
        overlap = box_iou(found["boxes"], found["boxes"]).fill_diagonal_(0)
        same = found["labels"][:, None] == found["labels"][None]
        assert (overlap[same] <= 0.2).all()


def test_a_few_steps_find_a_bright_square():
    """Two images, the square at another place in each: overfitted, the best detection is the square."""
    images, targets = torch.zeros(2, 1, 64, 64), [target([8.0, 8, 32, 32]), target([24.0, 32, 48, 56])]
    for image, one in zip(images, targets, strict=True):
        row0, col0, row1, col1 = one["boxes"][0].int().tolist()
        image[0, row0:row1, col0:col1] = 1
    detector = LesionDetector(SwinEncoder(size="micro", image_mean=0.1, image_std=0.3), channels=16)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        sum(detector(images, targets).values()).backward()
        optimizer.step()
    detector.eval()
    with torch.no_grad():
        batch = detector(images)
    for found, one in zip(batch, targets, strict=True):
        assert box_iou(found["boxes"][:1], one["boxes"]).item() > 0.5


def test_a_classifiers_encoder_starts_the_detector(tmp_path):
    classifier = MammogramClassifier(SwinEncoder(size="micro"))
    torch.save(classifier.state_dict(), tmp_path / "best.pt")
    detector = LesionDetector(load_encoder(SwinEncoder(size="micro"), tmp_path / "best.pt"), channels=16)
    state = detector.network.feature_extractor.encoder.state_dict()
    for name, tensor in classifier.encoder.state_dict().items():
        torch.testing.assert_close(state[name], tensor)


def test_channels_that_the_heads_cannot_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of 8"):
        LesionDetector(SwinEncoder(size="micro"), channels=12)
