"""Class-weighted cross-entropy over several tasks, some labels of which are missing."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MISSING = -1
"""Label of an image whose class is unknown."""


class MultiTaskCrossEntropy(nn.Module):
    """Sum over tasks of the weighted cross-entropy of the images whose label is known.

    Each task's term equals ``torch.nn.CrossEntropyLoss(weight, label_smoothing=...)`` on its labelled images; a missing
    label contributes nothing, and a task without any label in the batch adds 0 and keeps its place in the graph.

    Args:
        tasks: number of classes of each task, in the order of logits and labels.
        class_weights: weight of each class, by task, such as :func:`class_weights` gives; a task left out, or
            None, weighs all classes alike.
        label_smoothing: share of the label that is spread over all classes of its task, in [0, 1).

    Shape:
        - logits: ``(B, K)``, the classes of all tasks in order.
        - labels: ``(B, T)`` int64, or ``(B,)`` for one task; -1 is missing.
        - output: scalar, 0 or more.

    Raises:
        ValueError: weights of an unknown task or another number of classes, or shapes that do not fit.
    """

    def __init__(
        self,
        tasks: Mapping[str, int],
        class_weights: Mapping[str, Tensor | Sequence[float] | None] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks = dict(tasks)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is a share in [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing
        given = dict(class_weights or {})
        if unknown := sorted(given.keys() - self.tasks.keys()):
            raise ValueError(f"class weights of unknown tasks {unknown}; the tasks are {list(self.tasks)}")
        for index, (task, classes) in enumerate(self.tasks.items()):
            weights = given.get(task)
            tensor = torch.ones(classes) if weights is None else torch.as_tensor(weights, dtype=torch.float32)
            if tensor.shape != (classes,):
                raise ValueError(f"task {task} has {classes} classes, its weights are {tuple(tensor.shape)}")
            self.register_buffer(f"weight_{index}", tensor, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        labels = labels[:, None] if labels.ndim == 1 else labels
        if labels.shape != (len(logits), len(self.tasks)) or logits.shape[1] != sum(self.tasks.values()):
            raise ValueError(
                f"expected logits (B, {sum(self.tasks.values())}) and labels (B, {len(self.tasks)}) for tasks "
                f"{self.tasks}; got {tuple(logits.shape)} and {tuple(labels.shape)}"
            )
        losses = [
            _mean_over_labelled(task_logits, labels[:, index], self.get_buffer(f"weight_{index}"), self.label_smoothing)
            for index, task_logits in enumerate(logits.split(list(self.tasks.values()), dim=1))
        ]
        return torch.stack(losses).sum()


def _mean_over_labelled(logits: Tensor, labels: Tensor, weight: Tensor, smoothing: float) -> Tensor:
    # CrossEntropyLoss itself gives NaN when every label is ignored.
    weights = weight.to(logits.dtype)
    total = F.cross_entropy(logits, labels, weights, ignore_index=MISSING, reduction="sum", label_smoothing=smoothing)
    counted = weight[labels.clamp(min=0)] * (labels != MISSING)
    return total / counted.sum().clamp(min=torch.finfo(weight.dtype).tiny)


def class_weights(labels: Tensor | Sequence[int], num_classes: int) -> Tensor:
    """Weights ``N / (K * N_c)`` of K classes from the training labels in use; missing ones (-1) do not count.

    A class that no label holds gets weight 0: it cannot be learnt, and does not count in a validation loss.

    Args:
        labels: ``(N,)`` class indices of one task, -1 for missing.
        num_classes: K.

    Returns:
        ``(K,)`` float32; 1 for every class of a balanced task.

    Raises:
        ValueError: a label outside [-1, K), or labels of fewer than two classes.
    """
    known = torch.as_tensor(labels, dtype=torch.int64)
    known = known[known != MISSING]
    if len(known) and (int(known.min()) < 0 or int(known.max()) >= num_classes):
        raise ValueError(f"labels must be -1 or 0 to {num_classes - 1}, got {sorted(set(known.tolist()))}")
    counts = torch.bincount(known, minlength=num_classes)
    if (counts > 0).sum() < 2:
        raise ValueError(
            f"labels per class are {counts.tolist()}: a classifier needs two classes; use more labels or drop the task"
        )
    weights = len(known) / (num_classes * counts.clamp(min=1))
    return weights.masked_fill(counts == 0, 0.0).float()
