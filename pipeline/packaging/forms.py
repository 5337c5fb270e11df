"""One network in other runtimes: written, and run again."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Run", "run_onnx", "run_torchscript", "to_onnx", "to_torchscript"]

Run = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Logits ``(B, K)`` and map ``(B, H, W)`` of images ``(B, C, H, W)``."""

OUTPUTS = ["pred", "heat"]


def to_torchscript(network: nn.Module, example: Tensor, path: Path, configuration: Path) -> None:
    """Trace a network: any batch, the example's rows and columns; the configuration travels in the file.

    MONAI's Swin cannot be scripted.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, of shapes that are meant to be fixed
        traced = torch.jit.trace(network, example)
        torch.jit.save(traced, str(path), _extra_files={configuration.name: configuration.read_text()})


def run_torchscript(path: Path) -> Run:
    """A traced network; loading runs no Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.jit.load(str(path), map_location="cpu").eval()

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            logits, heat = network(x)
        return logits, heat

    return run


def to_onnx(network: nn.Module, example: Tensor, path: Path) -> None:
    """Write a network as ONNX: any batch, the example's rows and columns, one file.

    Raises:
        ImportError: without the extra ``export``.
    """
    _need("onnx", "onnxscript")
    with _quiet("torch.onnx", "onnxscript", "onnx_ir"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(path),
            input_names=["image"],
            output_names=OUTPUTS,
            dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keep what these libraries say below an error from the terminal: hundreds of lines on every rewritten node."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def run_onnx(path: Path) -> Run:
    """A network in ONNX Runtime, on the CPU.

    Raises:
        ImportError: without the extra ``export``.
    """
    _need("onnxruntime")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        logits, heat = session.run(OUTPUTS, {"image": np.ascontiguousarray(x.numpy())})
        return torch.from_numpy(np.asarray(logits)), torch.from_numpy(np.asarray(heat))

    return run


def _need(*modules: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ImportError(f"{', '.join(missing)} is not installed; pip install 'mammo[export]', or leave onnx out")
