"""Load an encoder or a network from a checkpoint, without running code from the file."""

import pickle
import zipfile
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

State = dict[str, Tensor]
_STATE_NAMES = ("model", "state_dict", "model_state_dict", "encoder_state_dict")
_ZIP_START = b"PK\x03\x04"
_REFUSED = "{} is not a checkpoint of tensors only (.pt or .safetensors)"
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
    """Fill a whole network with the weights of a checkpoint and return it in evaluation mode, on ``device`` if given.

    What a classifier was trained with beside its labels (:class:`MaskedReconstruction`) is left aside.

    Raises:
        ValueError: as :func:`load_encoder`.
    """
    state = {name: tensor for name, tensor in read_state(Path(path)).items() if not name.startswith("reconstruction.")}
    _fill(network, state, Path(path))
    return (network if device is None else network.to(device)).eval()


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
    content = _safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
    if isinstance(content, dict):
        content = next((content[name] for name in _STATE_NAMES if isinstance(content.get(name), dict)), content)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f'{path} holds neither a state_dict nor {{"model": state_dict}}')
    return content


def read_torch_file(path: Path) -> object:
    """What ``torch.save`` wrote, on the CPU; its checksums are compared, which torch itself leaves out.

    Raises:
        ValueError: the file is cut off, altered or of another kind, or holds more than tensors and plain values, of
            which nothing is run.
        OSError: it cannot be read.
    """
    try:
        _check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        # Torch's own message is a page that advises to trust the file.
        raise ValueError(f"{_REFUSED.format(path)}: damaged, or it asks for code, which is not run") from error
    except Exception as error:  # a broken or hostile file can raise anything
        raise ValueError(f"{_REFUSED.format(path)}: {_first_line(error)}") from error


def _check_sums(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_ZIP_START))
    if not start:
        raise ValueError("it is empty")
    if start != _ZIP_START:  # torch's older format, which has no checksums
        return
    if not zipfile.is_zipfile(path):
        raise ValueError("it is cut off; take it from where it is whole")
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is a compressed archive, which torch.save does not write")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"it is damaged: the checksum of {damaged} does not fit; take it from where it is whole")


def _safetensors(path: Path) -> State:
    try:
        return load_file(path)
    except OSError:
        raise
    except Exception as error:  # as above
        raise ValueError(f"{_REFUSED.format(path)}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


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
