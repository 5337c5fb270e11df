"""Cross-entropy between a teacher's and a student's views, as DINO is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..dino import DINOOutput

__all__ = ["SelfDistillationLoss"]


class SelfDistillationLoss(nn.Module):
    r"""Cross-entropy of DINO between different views of an image (Caron et al. 2021, arXiv:2104.14294).

    .. math:: -\frac{1}{|P|} \sum_{(t, s) \in P} \sum_k
        \text{softmax}((z^T_t - c) / \tau_T)_k \, \log \text{softmax}(z^S_s / \tau_S)_k

    with the centre c and all pairs P of a teacher's and a student's view that are not the same; the mean over images.

    Args:
        teacher_temperature: :math:`\tau_T`, lower than the student's: it sharpens.
        student_temperature: :math:`\tau_S`.

    Attributes:
        parts: the two terms of the last call that add up to it: ``entropy`` of the teacher (0: all images are one class
            to it, or it is sure of each; log K: it tells nothing apart) and ``divergence`` of the student from it.

    Shape:
        - output: see :class:`DINOOutput`.
        - places: not looked at; MONAI's engines hand a loss two things.
        - result: scalar.

    Raises:
        ValueError: for a temperature that is not above 0.
    """

    def __init__(self, teacher_temperature: float = 0.04, student_temperature: float = 0.1) -> None:
        super().__init__()
        for name, value in {"teacher": teacher_temperature, "student": student_temperature}.items():
            if value <= 0:
                raise ValueError(f"{name}_temperature {value} must be above 0, such as 0.04 and 0.1")
        self.teacher_temperature = teacher_temperature
        self.student_temperature = student_temperature
        self.parts: dict[str, Tensor] = {}

    def forward(self, output: DINOOutput, places: Tensor | None = None) -> Tensor:
        sharpened = (output.teacher.detach() - output.centre) / self.teacher_temperature
        teacher, log_teacher = sharpened.softmax(dim=-1), sharpened.log_softmax(dim=-1)  # (T, B, K)
        log_student = (output.student / self.student_temperature).log_softmax(dim=-1)  # (V, B, K)
        views, (teachers, images) = len(log_student), teacher.shape[:2]
        crossed = -torch.einsum("tbk,vbk->tv", teacher, log_student) / images
        same = torch.eye(teachers, views, device=crossed.device, dtype=torch.bool)
        loss = crossed.masked_fill(same, 0).sum() / (teachers * views - teachers)
        entropy = -(teacher * log_teacher).sum(dim=-1).mean()
        self.parts = {"entropy": entropy, "divergence": loss.detach() - entropy}
        return loss
