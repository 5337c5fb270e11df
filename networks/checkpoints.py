"""Load an encoder or a network from a checkpoint, without running code from the file."""

import pickle
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

State = dict[str, Tensor]
_STATE_NAMES = ("model", "state_dict", "model_state_dict", "encoder_state_dict")
Network = TypeVar("Network", bound=nn.Module)


def load_encoder(encoder: Network, path: str | Path | None) -> Network:
    """Fill ``encoder`` with the weights of a checkpoint of ours and return it.

    Taken are ``.safetensors`` and torch files (read with ``weights_only=True``) that hold the state of a
    :class:`SwinMIM`, a :class:`MammogramClassifier` or the encoder alone, bare or under ``"model"``. The weights
    of decoders and heads are left aside; every weight of the encoder must be there.

    Args:
        encoder: the encoder to fill.
        path: the checkpoint; None leaves the encoder as it was initialised.

    Raises:
        ValueError: the file is missing, no checkpoint, or of another architecture (the first tensor that differs
            is named with both shapes). The encoder is then unchanged.
    """
    if path is not None:
        state = encoder_state(Path(path))
        if isinstance(getattr(encoder, "norm", None), nn.Identity):  # of a ViT whose pooled features are normalised
            state = {name: tensor for name, tensor in state.items() if not name.startswith("norm.")}
        _fill(encoder, state, Path(path))
    return encoder


def load_network(network: Network, path: str | Path, device: torch.device | str | None = None) -> Network:
    """Fill a whole network with the weights of a checkpoint and return it, on ``device`` where one is given.

    What a classifier was trained with beside its labels (:class:`MaskedReconstruction`) is left aside.

    Raises:
        ValueError: as :func:`load_encoder`.
    """
    state = {name: tensor for name, tensor in read_state(Path(path)).items() if not name.startswith("reconstruction.")}
    _fill(network, state, Path(path))
    return network if device is None else network.to(device)


def _fill(module: nn.Module, state: State, path: Path) -> None:
    expected = module.state_dict()
    # They follow from the window, and public weights come without them.
    indices = {name: tensor for name, tensor in expected.items() if name.endswith("relative_position_index")}
    state = indices | state
    advice = "build the network with the size and tasks of the checkpoint"
    for name, tensor in expected.items():
        if name not in state:
            raise ValueError(
                f"{path} is of another architecture: it holds no {name}, here {tuple(tensor.shape)}; {advice}"
            )
        if state[name].shape != tensor.shape:
            raise ValueError(
                f"{path} is of another architecture: {name} is {tuple(state[name].shape)} there and "
                f"{tuple(tensor.shape)} here; {advice}"
            )
    for name in state:
        if name not in expected:
            raise ValueError(
                f"{path} is of another architecture: it holds {name} {tuple(state[name].shape)}, unknown here; {advice}"
            )
    module.load_state_dict(state)


def read_state(path: Path) -> State:
    """The tensors of a checkpoint by name: the file's own, or those under one of the usual names.

    Raises:
        ValueError: the file is missing, or holds something else; no code from it is run.
    """
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}; give a .pt or .safetensors file")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _torch_load(path)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is not a checkpoint of tensors only (.pt or .safetensors): {error}") from error
    if isinstance(content, dict):
        content = next((content[name] for name in _STATE_NAMES if isinstance(content.get(name), dict)), content)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f'{path} holds neither a state_dict nor {{"model": state_dict}}')
    return content


def _torch_load(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def encoder_state(path: Path) -> State:
    """The encoder's tensors of a checkpoint of ours, whatever network it holds.

    Raises:
        ValueError: as :func:`read_state`.
    """
    state = read_state(path)
    prefix = "encoder."
    inner = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not state:
        raise ValueError(f"{path} holds no tensors")
    return inner or state
