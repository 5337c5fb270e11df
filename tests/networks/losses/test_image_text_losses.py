"""Losses between images and texts against closed forms and loops in float64."""

import math

import pytest
import torch
from mammo.networks.image_text import ImageTextOutput
from mammo.networks.losses.image_text import NOTHING, ImageTextContrastiveLoss, MultiViewSupervision, SigmoidLoss
from torch.nn import functional as F

NAMES = ("image", "other_image", "text", "other_text")
LOSSES = {"views": MultiViewSupervision, "clip": ImageTextContrastiveLoss, "sigmoid": SigmoidLoss}


def output_of(vectors: list[torch.Tensor], scale: float, bias: float | None = None) -> ImageTextOutput:
    named = dict(zip(NAMES, vectors, strict=True))
    return ImageTextOutput(**named, scale=torch.tensor(scale), bias=None if bias is None else torch.tensor(bias))


def random_output(pairs: int = 5, bias: float | None = None) -> ImageTextOutput:
    vectors = list(F.normalize(torch.randn(4, pairs, 8, dtype=torch.float64), dim=-1))
    return output_of(vectors, 7.0, bias)._replace(scale=torch.tensor(7.0, dtype=torch.float64))


def cosine(a: list, b: list) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def found(rows: list, columns: list, right: list, scale: float, smoothing: float = 0.0) -> float:
    """Mean cross-entropy in plain Python; ``right`` lists the columns that are right for each row."""
    total, n = 0.0, len(columns)
    for row, own in zip(rows, right, strict=True):
        scores = [scale * cosine(row, column) for column in columns]
        log_sum = math.log(sum(math.exp(score) for score in scores))
        for j, score in enumerate(scores):
            target = (1 - smoothing) * (j in own) / len(own) + smoothing / n
            total -= target * (score - log_sum)
    return total / len(rows)


def views_by_hand(output: ImageTextOutput, text: list, breast: list, smoothing: float = 0.0) -> float:
    """The loss as written down, of columns that are right between texts, and between views."""
    i1, i2, t1, t2 = (getattr(output, name).tolist() for name in NAMES)
    s = output.scale.item()
    i2t = sum(found(i, t, text, s, smoothing) for i in (i1, i2) for t in (t1, t2)) / 4
    t2i = sum(found(t, i, text, s, smoothing) for i in (i1, i2) for t in (t1, t2)) / 4
    i2i = (found(i1, i2, breast, s) + found(i2, i1, breast, s)) / 2
    t2t = (found(t1, t2, text, s) + found(t2, t1, text, s)) / 2
    return (i2t + t2i) / 2 + i2i + t2t / 2


ALONE = [[i] for i in range(5)]
GROUPS = torch.tensor([9, 4, 9, 1, 9])
SHARED = [[0, 2, 4], [1], [0, 2, 4], [3], [0, 2, 4]]


@pytest.mark.parametrize("n", [2, 7])
def test_everything_alike_gives_two_and_a_half_logarithms(n):
    alike = F.normalize(torch.ones(4, n, 6), dim=-1)
    loss = MultiViewSupervision()(output_of(list(alike), 14.0))
    assert loss.item() == pytest.approx(2.5 * math.log(n), rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 3.0, 14.0])
def test_pairs_that_are_told_apart_give_the_closed_form(scale):
    n = 6
    loss = MultiViewSupervision()(output_of([torch.eye(n, dtype=torch.float64)] * 4, scale))
    assert loss.item() == pytest.approx(2.5 * math.log(1 + (n - 1) * math.exp(-scale)), rel=1e-6)


@pytest.mark.parametrize(("groups", "right"), [(None, ALONE), (GROUPS, SHARED)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_multi_view_supervision_is_the_sum_written_down(groups, right, smoothing):
    output = random_output()
    output.image.requires_grad_()
    loss = MultiViewSupervision(label_smoothing=smoothing)(output, groups)
    assert loss.item() == pytest.approx(views_by_hand(output, right, ALONE, smoothing), rel=1e-9)


def test_smoothing_is_for_training_alone():
    output, objective = random_output(), MultiViewSupervision(label_smoothing=0.3)
    plain = MultiViewSupervision()(output)
    assert (objective(output) - plain).abs() > 0.1
    with torch.no_grad():
        torch.testing.assert_close(objective(output), plain, rtol=0, atol=0)
    torch.testing.assert_close(objective.eval()(output), plain, rtol=0, atol=0)


def test_weights_scale_their_terms_and_parts_add_up():
    output = random_output()
    one, other = MultiViewSupervision(), MultiViewSupervision(image_weight=0.25, text_weight=2.0)
    terms = ("image_to_text", "text_to_image", "image_to_image", "text_to_text")
    for objective in (one, other):
        loss = objective(output)
        torch.testing.assert_close(torch.stack([objective.parts[name] for name in terms]).sum(), loss)
    torch.testing.assert_close(other.parts["image_to_image"], 0.25 * one.parts["image_to_image"])
    torch.testing.assert_close(other.parts["text_to_text"], 4 * one.parts["text_to_text"])


@pytest.mark.parametrize("weight", [0.75, 0.5, 0.0])
@pytest.mark.parametrize(("groups", "right"), [(None, ALONE), (GROUPS, SHARED)])
def test_the_baseline_weighs_both_ways(weight, groups, right):
    output = random_output()
    images, texts = output.image.tolist(), output.text.tolist()
    expected = weight * found(images, texts, right, 7.0) + (1 - weight) * found(texts, images, right, 7.0)
    assert ImageTextContrastiveLoss(weight)(output, groups).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize(("groups", "right"), [(None, ALONE), (GROUPS, SHARED)])
def test_the_sigmoid_asks_each_pair_by_itself(views, groups, right):
    output = random_output(bias=-3.0)
    if views == 1:
        output = output._replace(other_image=None, other_text=None)
    i1, i2, t1, t2 = (None if (v := getattr(output, name)) is None else v.tolist() for name in NAMES)
    pairs = [(i, t) for i in (i1, i2) for t in (t1, t2) if i is not None and t is not None]
    total = 0.0
    for images, texts in pairs:
        for i, own in enumerate(right):
            for j in range(5):
                sign = 1 if j in own else -1
                total += math.log(1 + math.exp(-sign * (7.0 * cosine(images[i], texts[j]) - 3.0)))
    assert SigmoidLoss()(output, groups).item() == pytest.approx(total / 5 / len(pairs), rel=1e-9)


@pytest.mark.parametrize("kind", LOSSES)
def test_texts_that_all_differ_change_nothing(kind):
    output = random_output(bias=-3.0 if kind == "sigmoid" else None)
    loss, groups = LOSSES[kind](), torch.tensor([5, -3, 2**62, 8, 0])
    plain = loss(output)
    for ids in (groups, torch.stack([groups, groups + 100], dim=1)):
        torch.testing.assert_close(loss(output, ids), plain, rtol=0, atol=0)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_order_of_a_batch_does_not_count(kind):
    output = random_output(bias=-3.0 if kind == "sigmoid" else None)
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = output._replace(**{name: getattr(output, name)[order] for name in NAMES})
    torch.testing.assert_close(LOSSES[kind]()(turned, GROUPS[order]), LOSSES[kind]()(output, GROUPS))


@pytest.mark.parametrize("kind", LOSSES)
def test_equal_texts_are_not_pushed_apart(kind):
    """Three equal reports with one vector are worse than with three, unless they share targets."""
    loss = MultiViewSupervision(image_weight=0.0) if kind == "views" else LOSSES[kind]()
    bias = -30.0 if kind == "sigmoid" else None
    apart = output_of([torch.eye(5)] * 4, 60.0, bias)
    together = output_of([torch.eye(5)[[0, 1, 0, 3, 0]]] * 4, 60.0, bias)
    assert loss(together) > loss(apart) + 0.1
    assert loss(together, GROUPS) < loss(apart, GROUPS) - 0.1


def test_each_text_is_right_for_the_reports_that_have_it():
    """Reports {7, 1}, {2, 7} and {3, 4}: the first text of one is the second of another."""
    output = random_output(3)
    objective = MultiViewSupervision(image_weight=0.0, text_weight=0.0)
    objective(output, torch.tensor([[7, 1], [2, 7], [3, 4]]))
    i1, i2, t1, t2 = (getattr(output, name).tolist() for name in NAMES)
    of_first, of_second = [[0], [0, 1], [2]], [[0, 1], [1], [2]]  # columns of texts that each image's report has
    expected = sum(found(i, t1, of_first, 7.0) + found(i, t2, of_second, 7.0) for i in (i1, i2)) / 4
    assert objective.parts["image_to_text"].item() == pytest.approx(expected / 2, rel=1e-9)
    with_first, with_second = [[0, 1], [1], [2]], [[0], [0, 1], [2]]  # images whose report has each text
    expected = sum(found(t1, i, with_first, 7.0) + found(t2, i, with_second, 7.0) for i in (i1, i2)) / 4
    assert objective.parts["text_to_image"].item() == pytest.approx(expected / 2, rel=1e-9)


def test_a_text_is_right_for_every_report_that_says_all_that_it_says():
    """Reports say {1, 2, 3}, {2, 3} and {2, 4}; the first text of each says less than its report."""
    said = [[[1, 2], [3], [1, 2, 3]], [[2], [2, 3], [2, 3]], [[4], [2, 4], [2, 4]]]
    groups = torch.tensor([[ids + [NOTHING] * (3 - len(ids)) for ids in breast] for breast in said])
    output = random_output(3)
    objective = MultiViewSupervision(image_weight=0.0, text_weight=1.0)
    objective(output, groups)
    i1, i2, t1, t2 = (getattr(output, name).tolist() for name in NAMES)
    of_first, of_second = [[0, 1], [1], [1, 2]], [[0, 1], [0, 1], [2]]  # texts that each report implies
    expected = sum(found(i, t1, of_first, 7.0) + found(i, t2, of_second, 7.0) for i in (i1, i2)) / 4
    assert objective.parts["image_to_text"].item() == pytest.approx(expected / 2, rel=1e-9)
    by_first, by_second = [[0], [0, 1, 2], [2]], [[0, 1], [0, 1], [2]]  # reports that imply each text
    expected = sum(found(t1, i, by_first, 7.0) + found(t2, i, by_second, 7.0) for i in (i1, i2)) / 4
    assert objective.parts["text_to_image"].item() == pytest.approx(expected / 2, rel=1e-9)
    either = [sorted({*a, *b}) for a, b in zip(of_second, by_first, strict=True)]
    back = [sorted({*a, *b}) for a, b in zip(of_first, by_second, strict=True)]
    expected = (found(t1, t2, either, 7.0) + found(t2, t1, back, 7.0)) / 2
    assert objective.parts["text_to_text"].item() == pytest.approx(expected, rel=1e-9)


def test_texts_are_right_for_texts_of_the_same_report():
    output = random_output(3)
    objective = MultiViewSupervision(text_weight=1.0)
    objective(output, torch.tensor([[7, 1], [2, 7], [3, 4]]))
    t1, t2 = output.text.tolist(), output.other_text.tolist()
    first, second = [[0, 1], [1], [2]], [[0], [0, 1], [2]]  # 7 of the first report is 7 of the second
    expected = (found(t1, t2, first, 7.0) + found(t2, t1, second, 7.0)) / 2
    assert objective.parts["text_to_text"].item() == pytest.approx(expected, rel=1e-9)


def test_accuracy_counts_images_whose_nearest_text_is_right():
    eye = torch.eye(4)
    output = ImageTextOutput(image=eye, text=eye[[1, 0, 2, 3]], scale=torch.tensor(10.0))
    objective = ImageTextContrastiveLoss()
    objective(output)
    assert objective.parts["accuracy"].item() == 0.5
    objective(output, torch.tensor([3, 3, 0, 1]))
    assert objective.parts["accuracy"].item() == 1.0
    assert objective.parts["scale"].item() == 10.0


@pytest.mark.parametrize("kind", LOSSES)
def test_gradients_are_those_of_small_steps(kind):
    bias = None if kind != "sigmoid" else torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    vectors = [F.normalize(torch.randn(3, 4, dtype=torch.float64), dim=-1).requires_grad_() for _ in NAMES]
    rest = () if bias is None else (bias,)

    def loss(scale: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        output = ImageTextOutput(
            **dict(zip(NAMES, rest, strict=False)), scale=scale, bias=None if bias is None else rest[4]
        )
        return LOSSES[kind]()(output, torch.tensor([1, 2, 1]))

    assert torch.autograd.gradcheck(loss, (scale, *vectors, *rest))


@pytest.mark.parametrize(
    ("objective", "changes", "groups", "message"),
    [
        (MultiViewSupervision(), {"other_image": None}, None, "got no other_image"),
        (MultiViewSupervision(), {"other_text": None}, None, "got no other_text"),
        (MultiViewSupervision(), {"bias": torch.tensor(1.0)}, None, "build the model with bias=None"),
        (ImageTextContrastiveLoss(), {"bias": torch.tensor(1.0)}, None, "build the model with bias=None"),
        (SigmoidLoss(), {}, None, r"build ImageTextModel\(..., bias=-10\)"),
        (ImageTextContrastiveLoss(), {}, torch.zeros(4), r"groups must be \(5,\), or \(5, 2\).*got \(4,\)"),
        (ImageTextContrastiveLoss(), {}, torch.zeros(5, 3), r"got \(5, 3\)"),
    ],
)
def test_what_a_loss_cannot_take_is_refused(objective, changes, groups, message):
    with pytest.raises(ValueError, match=message):
        objective(random_output()._replace(**changes), groups)


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (MultiViewSupervision, {"label_smoothing": 1.0}, r"label_smoothing 1\.0 must be"),
        (MultiViewSupervision, {"text_weight": -1.0}, "text_weight -1"),
        (ImageTextContrastiveLoss, {"image_to_text": 1.5}, "image_to_text 1.5 must lie"),
    ],
)
def test_impossible_weights_are_refused(loss, options, message):
    with pytest.raises(ValueError, match=message):
        loss(**options)
