"""What MONAI's trainers and evaluators need beyond MONAI: batches for masked modelling, autocast anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ignite.distributed as idist
import torch
from monai.inferers import SimpleInferer
from torch import Tensor

from ..networks import label_probabilities, task_place
from .random_streams import stream_seed


class RandomBatches:
    """A random stream that a ``prepare_batch`` draws from, alike whether a run was interrupted or not.

    Args:
        seed: start of the random stream; each process of a distributed run has a stream of its own.
        repeat: restart the stream with every epoch, so that a validation loss is comparable between epochs.
    """

    def __init__(self, *, seed: int = 0, repeat: bool = False) -> None:
        self.seed = seed
        self.repeat = repeat
        self.generator = torch.Generator()
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Set the random stream for an epoch, so that a resumed run draws what an uninterrupted one draws."""
        self.generator.manual_seed(stream_seed(self.seed, 0 if self.repeat else epoch, idist.get_rank()))

    def state_dict(self) -> dict[str, Tensor]:
        """Where the random stream is within an epoch."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on where the random stream of :meth:`state_dict` was."""
        self.generator.set_state(state["generator"])

    def attach(self, engine: Any) -> None:
        """Follow the epochs of ``engine``."""
        from ignite.engine import Events

        engine.add_event_handler(Events.EPOCH_STARTED, lambda e: self.start_epoch(e.state.epoch))


class PrepareMaskedBatch(RandomBatches):
    """Draw the hidden blocks of a batch: the ``prepare_batch`` of a masked-image-modelling engine.

    Returns MONAI's four-part batch: the input ``(B, 2, H, W)`` (image, breast mask), the target ``(B, 3, H, W)``
    (image, breast mask, hidden pixels), no further arguments, and ``hidden`` for the network.

    Args:
        masking: maps breast masks ``(B, 1, H, W)`` and a generator to hidden pixels ``(B, 1, H, W)`` in {0, 1},
            such as :class:`mammo.transforms.BlockMasking`.
        seed, repeat: see :class:`RandomBatches`.
    """

    def __init__(self, masking: Callable[..., Tensor], *, seed: int = 0, repeat: bool = False) -> None:
        super().__init__(seed=seed, repeat=repeat)
        self.masking = masking

    def __call__(
        self, batch: Mapping[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor, tuple[()], dict[str, Tensor]]:
        image = batch["image"].to(device=device, non_blocking=non_blocking, **kwargs)  # (B, 2, H, W)
        hidden = self.masking(image[:, 1:2], generator=self.generator)  # (B, 1, H, W)
        return image, torch.cat([image, hidden], dim=1), (), {"hidden": hidden}


class NetworkInferer(SimpleInferer):
    """Call the network with fixed keyword arguments, in a lower precision on request.

    MONAI's engines hard-code CUDA autocast; this one works on any device. The result is float32, since the
    loss is computed outside.

    Args:
        device: the device of the network.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        network_arguments: passed to every call, such as ``{"details": True}`` for a classifier in training.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        precision: str = "float32",
        network_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if precision not in ("float32", "bfloat16", "float16"):
            raise ValueError(f"precision {precision!r}: choose float32, bfloat16 or float16")
        self.device_type = torch.device(device).type
        self.dtype = getattr(torch, precision)
        self.network_arguments = dict(network_arguments or {})

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        enabled = self.dtype is not torch.float32
        with torch.autocast(self.device_type, dtype=self.dtype if enabled else torch.bfloat16, enabled=enabled):
            output = super().__call__(inputs, network, *args, **self.network_arguments, **kwargs)
        return _to_float32(output) if enabled else output


def _to_float32(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.float()
    if isinstance(output, Mapping):
        return {key: _to_float32(value) for key, value in output.items()}
    if isinstance(output, tuple) and hasattr(output, "_fields"):  # a named tuple takes its values one by one
        return type(output)(*map(_to_float32, output))
    if isinstance(output, (list, tuple)):
        return type(output)(_to_float32(value) for value in output)
    return output


class TaskScores:
    """Pick one task from an engine's decollated output, as metric handlers want it: an ``output_transform``.

    Images whose label of that task is unknown are left out.

    Args:
        tasks: class count of each task, in the order of the logits.
        task: name of the task; the first one by default.
        one_hot: what is returned. True, for MONAI's metrics: lists of class probabilities ``(K,)`` and of one-hot
            labels ``(K,)``. False, for ignite's: probabilities ``(N, K)`` and labels ``(N,)``.
    """

    def __init__(self, tasks: Mapping[str, int], task: str | None = None, *, one_hot: bool = True) -> None:
        self.index, self.logits = task_place(tasks, task)
        self.classes = self.logits.stop - self.logits.start
        self.one_hot = one_hot

    def __call__(self, output: list[dict[str, Any]]) -> tuple[Any, Any]:
        known = [item for item in output if int(item["label"][self.index]) >= 0]
        scores = [item["pred"][self.logits].softmax(dim=0) for item in known]
        labels = [item["label"][self.index] for item in known]
        if not self.one_hot:
            if not known:
                return torch.zeros(0, self.classes), torch.zeros(0, dtype=torch.int64)
            return torch.stack(scores), torch.stack(labels)
        return scores, [torch.eye(self.classes, device=label.device)[label] for label in labels]


class LabelScores:
    """Pick all labels of an image from an engine's decollated output: an ``output_transform`` for many labels at once.

    Images of which a label is not known are left out. Returned are lists of probabilities ``(T,)`` and labels ``(T,)``.

    Args:
        tasks: names of the labels, with two classes each.
    """

    def __init__(self, tasks: Mapping[str, int]) -> None:
        self.tasks = dict(tasks)

    def __call__(self, output: list[dict[str, Any]]) -> tuple[list[Tensor], list[Tensor]]:
        known = [item for item in output if int(item["label"].min()) >= 0]
        return [label_probabilities(item["pred"], self.tasks) for item in known], [item["label"] for item in known]
