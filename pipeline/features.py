"""Pooled features of a frozen encoder: every image is encoded once, and never again where a folder keeps them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader
from monai.transforms import RandomizableTrait
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import Subset
from xxhash import xxh3_128

from ..networks import MammogramClassifier
from .datasets.fingerprint import transform_fingerprint
from .datasets.store import PreparedDataset
from .engines import NetworkInferer
from .files import write_atomically

__all__ = ["FrozenFeatures", "encoder_digest", "read_vectors"]

logger = logging.getLogger(__name__)

FORMAT = "mammo-features-1"
Vectors = dict[str, Tensor]


class FrozenFeatures:
    """Encode prepared images with a network whose encoder is not trained; each one once.

    A vector is what the network gives its ``head_norm`` in evaluation: batch norms have their running statistics and
    move none, dropout and stochastic depth are off. A folder keeps the vectors in one safetensors file for each
    encoder, known by its weights and settings, the pooling and the precision; in it an image is known, as a prepared
    one, by its file (place, size, time of change), its side, view, frame and crop, and by the settings of the
    transforms. Another encoder or another preparation never gets these vectors. Runs that add images at the same time
    may lose each other's, which are then encoded again.

    Args:
        network: on its device.
        folder: where vectors are kept, made where missing; None keeps nothing.
        device: of the network.
        precision: of the encoder: float32, bfloat16 or float16.
        batch_size: images encoded at a time.
        workers: processes that load images.
        force_recompute: encode images again that the folder holds.

    Attributes:
        encoded: images encoded by this object.
        reused: vectors taken from the folder.
    """

    def __init__(
        self,
        network: MammogramClassifier,
        *,
        folder: str | Path | None = None,
        device: torch.device | str = "cpu",
        precision: str = "float32",
        batch_size: int = 8,
        workers: int = 0,
        force_recompute: bool = False,
    ) -> None:
        self.network = network
        self.folder = None if folder is None else Path(folder)
        self.device = torch.device(device)
        self.precision = precision
        self.inferer = NetworkInferer(device, precision=precision)
        self.options = {"batch_size": batch_size, "num_workers": workers}
        self.force_recompute = force_recompute
        self.encoded = self.reused = 0

    def __call__(self, images: PreparedDataset) -> list[dict[str, Any]]:
        """An item for each image: its vector ``(C,)`` float32 as ``image``, ``label`` int64, ``dataset``, ``image_id``.

        Args:
            images: whose items hold ``image`` and ``label``; nothing in their transforms may be random.

        Raises:
            ValueError: for a random transform, or vectors of another encoder in the folder.
        """
        steps = images.transform.transforms
        if any(isinstance(step, RandomizableTrait) for step in steps):
            raise ValueError("features are of images as they are: leave random transforms out of a linear probe")
        keys, path = list(map(str, range(len(images)))), None
        if self.folder is not None:
            keys = list(self._keys(images))
            digest = encoder_digest(self.network, self.precision, transform_fingerprint(steps[images.kept_steps :]))
            path = self.folder / f"features-{digest[:32]}.safetensors"
        known = {} if path is None else read_vectors(path, digest)
        if self.force_recompute:
            again = set(keys)
            known = {key: vector for key, vector in known.items() if key not in again}
        missing = [index for index, key in enumerate(keys) if key not in known]
        if missing:
            known |= zip((keys[index] for index in missing), self._encode(images, missing), strict=True)
            if path is not None:
                write_atomically(path, _packed(known, digest))
        there = len(keys) - len(missing)
        self.encoded, self.reused = self.encoded + len(missing), self.reused + there
        logger.info("features of %d images: %d encoded, %d were there", len(keys), len(missing), there)
        return [_item(record, known[key]) for record, key in zip(images.data, keys, strict=True)]

    @staticmethod
    def stacked(items: Sequence[Mapping[str, Any]]) -> Tensor:
        """The vectors ``(N, C)`` of items."""
        return torch.stack([item["image"] for item in items])

    def _keys(self, images: PreparedDataset) -> Iterator[str]:
        # Named as prepared images are, whether or not those are kept.
        names = PreparedDataset([], images.transform, self.folder)
        return (names.entry(record).stem for record in images.data)

    @torch.no_grad()
    def _encode(self, images: PreparedDataset, places: Sequence[int]) -> list[Tensor]:
        found: list[Tensor] = []

        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found.extend(inputs[0].float().cpu().clone())

        training = self.network.training
        handle = self.network.eval().head_norm.register_forward_pre_hook(keep)
        try:
            for batch in DataLoader(Subset(images, places), **self.options):
                self.inferer(batch["image"].to(self.device), self.network)
        finally:
            handle.remove()
            self.network.train(training)
        return found


def _item(record: Mapping[str, Any], vector: Tensor) -> dict[str, Any]:
    names = {name: record[name] for name in ("dataset", "image_id") if name in record}
    return {"image": vector, "label": torch.tensor(record["label"], dtype=torch.int64), **names}


def encoder_digest(network: MammogramClassifier, *more: str) -> str:
    """SHA-256 of all that an image's vector depends on: weights, buffers and settings of the encoder, and the pooling.

    Args:
        network: of which the head does not count.
        more: whatever else the vector depends on.
    """
    digest = hashlib.sha256(repr((FORMAT, str(network.pooling), str(network.tokens), *more)).encode())
    for name, module in network.encoder.named_modules():
        digest.update(repr((name, type(module).__qualname__, _settings(module))).encode())
    for name, tensor in network.encoder.state_dict().items():
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _settings(module: nn.Module) -> list[tuple[str, Any]]:
    """Plain values of a module, such as the number of its heads; ``training`` is none of its settings."""
    plain = (bool, int, float, str)
    return sorted(
        (name, value) for name, value in vars(module).items() if isinstance(value, plain) and name != "training"
    )


def read_vectors(path: Path, digest: str) -> Vectors:
    """The vectors of a file by the names of their images; none where there is no file, or no whole one.

    Args:
        path: of the file.
        digest: of the encoder that they must be of.

    Raises:
        ValueError: they are of another encoder.
    """
    if not path.is_file():
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            head = file.metadata() or {}
            keys, vectors = file.get_tensor("keys"), file.get_tensor("vectors")
    except SafetensorError as error:
        logger.warning("%s is damaged (%s); its images are encoded again", path, error)
        return {}
    if head.get("encoder") != digest:
        raise ValueError(f"{path} holds features of another encoder or preparation; delete it, or give another folder")
    if head.get("xxh3_128") != _checksum(keys, vectors):
        logger.warning("%s is damaged (its checksum does not fit); its images are encoded again", path)
        return {}
    return {bytes(key.tolist()).hex(): vector for key, vector in zip(keys, vectors, strict=True)}


def _packed(known: Vectors, digest: str) -> bytes:
    keys = torch.tensor([list(bytes.fromhex(key)) for key in known], dtype=torch.uint8)  # (N, 32)
    vectors = torch.stack(list(known.values()))  # (N, C)
    return save({"keys": keys, "vectors": vectors}, metadata={"encoder": digest, "xxh3_128": _checksum(keys, vectors)})


def _checksum(*tensors: Tensor) -> str:
    digest = xxh3_128()
    for tensor in tensors:
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()
