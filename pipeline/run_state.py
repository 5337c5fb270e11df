"""What a run has to remember that neither MONAI nor PyTorch puts into a state dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

__all__ = ["BestMetric", "LossScale", "PassingBuffers"]


class BestMetric:
    """The best metric of a MONAI evaluator, and its epoch."""

    def __init__(self, evaluator: Any) -> None:
        self.state = evaluator.state

    def state_dict(self) -> dict[str, Any]:
        """Both as plain numbers."""
        return {
            "best_metric": float(self.state.best_metric),
            "best_metric_epoch": int(self.state.best_metric_epoch),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set both."""
        self.state.best_metric = state["best_metric"]
        self.state.best_metric_epoch = state["best_metric_epoch"]


class LossScale:
    """The loss scaler that a MONAI trainer makes when it starts; nothing where it has none."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        """That of the scaler, or an empty one."""
        return {} if self.trainer.scaler is None else dict(self.trainer.scaler.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the scaler, where both runs have one."""
        if self.trainer.scaler is not None and state:
            self.trainer.scaler.load_state_dict(dict(state))


class PassingBuffers:
    """Buffers that a module leaves out of its state dict, such as the singular vectors that a penalty follows.

    Args:
        module: whose buffers are meant, those of its parts among them.
        device: where they go when they are loaded.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self.module = module
        self.device = device

    def state_dict(self) -> dict[str, Any]:
        """Those buffers by name."""
        kept = self.module.state_dict()
        return {name: buffer for name, buffer in self.module.named_buffers() if name not in kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set them; they are made where there are none yet."""
        for name, value in state.items():
            owner, _, buffer = name.rpartition(".")
            part = self.module.get_submodule(owner)
            own = getattr(part, buffer, None)
            part.register_buffer(buffer, value.to(self.device if own is None else own.device), persistent=False)
