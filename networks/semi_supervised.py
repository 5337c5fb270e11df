"""Reconstruction beside classification: images without a label teach the encoder too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from .checkpoints import read_state
from .masked_image_modeling import DecoderName, MaskFill, SwinMIM
from .swin import SwinEncoder, Tokens

__all__ = ["MaskedReconstruction"]


class MaskedReconstruction(nn.Module):
    """Hide blocks of each image and reconstruct them through a classifier's own encoder, as in pretraining.

    It is the argument ``reconstruction`` of :class:`MammogramClassifier`, which calls it in training only. The blocks
    are drawn from torch's generator, as dropout is.

    Args:
        encoder: that of the classifier. It stays the classifier's: its weights are not in this module's state.
        masking: maps breast masks ``(B, 1, H, W)`` to hidden pixels ``(B, 1, H, W)`` in {0, 1}.
        pretrained: checkpoint of a :class:`SwinMIM`, whose decoder is the start; where it holds none, as public
            weights do, or is None, the decoder starts anew.
        decoder, fill, decoder_widths, full_resolution, tokens: see :class:`SwinMIM`; those of the pretraining.

    Shape:
        - x: ``(B, 2, H, W)``, image in [0, 1] and breast mask.
        - output: ``reconstruction`` ``(B, 1, H, W)`` and ``reconstruction_target`` ``(B, 3, H, W)`` (image, breast
          mask, hidden pixels), by name.

    Raises:
        ValueError: if the checkpoint's decoder is another one than the options say.
    """

    def __init__(
        self,
        encoder: SwinEncoder,
        masking: Callable[[Tensor], Tensor],
        *,
        pretrained: str | Path | None = None,
        decoder: str = DecoderName.PUBLISHED,
        fill: str = MaskFill.ZERO,
        decoder_widths: Sequence[int] = (512, 256, 128, 64),
        full_resolution: bool = False,
        tokens: str = Tokens.ALL,
    ) -> None:
        super().__init__()
        network = SwinMIM(
            encoder, decoder, fill, decoder_widths=decoder_widths, full_resolution=full_resolution, tokens=tokens
        )
        self.decoder = network.decoder
        self.mask_token = network.mask_token
        self.empty_token = network.empty_token
        # In a tuple torch does not find it: the encoder's weights would be saved, and optimised, twice.
        self._network = (network,)
        self.masking = masking
        if pretrained is not None:
            self._load(Path(pretrained))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.masking(x[:, 1:2])
        with _running_statistics_kept(self._network[0].encoder):  # classification sees whole images only
            reconstruction = self._network[0](x, hidden)
        return {"reconstruction": reconstruction, "reconstruction_target": torch.cat([x, hidden], dim=1)}

    def _load(self, path: Path) -> None:
        state = {
            name: tensor for name, tensor in read_state(path).items() if not name.startswith(("encoder.", "head."))
        }
        if not any(name.startswith("decoder.") for name in state):
            return
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f"the decoder in {path} is another one; give decoder, decoder_widths, full_resolution, fill and tokens "
                f"as in pretraining ({str(error).splitlines()[-1].strip()})"
            ) from error


@contextmanager
def _running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Batch norms use the statistics of the batch and leave the running ones alone."""
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
