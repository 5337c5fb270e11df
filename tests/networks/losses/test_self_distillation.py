"""DINO's loss against the sum that defines it."""

import math

import pytest
import torch
from mammo.networks.dino import DINOOutput
from mammo.networks.losses.self_distillation import SelfDistillationLoss


def output_of(views: int, images: int = 3, classes: int = 5) -> DINOOutput:
    student, teacher = torch.randn(views, images, classes), torch.randn(2, images, classes)
    return DINOOutput(student, teacher, torch.randn(classes), torch.zeros(images, 4))


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("views", [2, 3, 6])
def test_it_is_the_mean_cross_entropy_of_pairs_of_different_views(views):
    output, sharp, soft = output_of(views), 0.3, 0.7
    student, teacher, centre = (part.double().tolist() for part in output[:3])
    terms = []
    for t in range(2):
        for s in range(views):
            if s == t:
                continue
            for image in range(3):
                p = softmax([(z - c) / sharp for z, c in zip(teacher[t][image], centre, strict=True)])
                q = softmax([z / soft for z in student[s][image]])
                terms.append(-sum(a * math.log(b) for a, b in zip(p, q, strict=True)))
    objective = SelfDistillationLoss(sharp, soft)
    assert objective(output).item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert sum(objective.parts.values()).item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_a_student_that_agrees_does_not_diverge():
    output = output_of(2)
    alike = output.teacher[:1].expand(2, -1, -1)
    agreed = output._replace(teacher=alike, student=(alike - output.centre) / 0.04 * 0.1)
    objective = SelfDistillationLoss()
    objective(agreed)
    assert objective.parts["divergence"].item() == pytest.approx(0, abs=1e-5)


def test_logits_that_are_the_centre_tell_nothing_apart():
    output = output_of(3)
    objective = SelfDistillationLoss()
    objective(output._replace(teacher=output.centre.expand(2, 3, -1)))
    assert objective.parts["entropy"].item() == pytest.approx(math.log(5), rel=1e-5)


def test_no_gradient_reaches_the_teacher():
    output = output_of(3)
    output.student.requires_grad_()
    output.teacher.requires_grad_()
    SelfDistillationLoss()(output).backward()
    assert output.teacher.grad is None
    assert output.student.grad.any()


def test_a_temperature_of_0_is_refused():
    with pytest.raises(ValueError, match="student_temperature 0 must be above 0"):
        SelfDistillationLoss(0.04, 0)
