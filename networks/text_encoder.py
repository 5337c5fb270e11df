"""Text encoders: a model of transformers, from a local folder or small and untrained, and one vector of its tokens."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn

__all__ = ["TextEncoder", "TextPooling", "load_text_encoder", "small_text_encoder"]


class TextPooling(StrEnum):
    """Which token speaks for the text: the last ([SEP] of BERT), the first ([CLS]), or the mean of all."""

    EOS = "eos"
    BOS = "bos"
    MEAN = "mean"


class TextEncoder(nn.Module):
    """One vector of a text, from the last layer of a transformer.

    Padding may stand behind the text or in front of it. The model's own pooler is taken off where it has one: nothing
    would train it, and :class:`~torch.nn.parallel.DistributedDataParallel` wants every parameter used.

    Args:
        model: of transformers or alike: called with ``input_ids`` and ``attention_mask`` it gives
            ``last_hidden_state`` ``(B, L, C)``, and its ``config`` has ``hidden_size``.
        pooling: ``eos`` as Mammo-CLIP (arXiv:2405.12255), ``bos`` or ``mean``, see :class:`TextPooling`.

    Attributes:
        out_channels: C.
        length: the most tokens that a text may have; None: the model names no limit.

    Shape:
        - input_ids: ``(B, L)`` int64.
        - attention_mask: ``(B, L)``, not 0 where a token is none of padding.
        - output: ``(B, C)``; the mean of a text without a token is 0.

    Raises:
        ValueError: an unknown pooling, tokens and mask of different shapes, or texts that are too long.
    """

    def __init__(self, model: nn.Module, pooling: str = TextPooling.EOS) -> None:
        super().__init__()
        self.pooling = look_up_option(pooling, TextPooling)
        self.model = model
        if getattr(model, "pooler", None) is not None:
            model.register_module("pooler", None)
        config: Any = model.config
        self.out_channels = int(config.hidden_size)
        self.length: int | None = getattr(config, "max_position_embeddings", None)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if input_ids.ndim != 2 or input_ids.shape != attention_mask.shape:
            raise ValueError(
                f"expected tokens and their mask, both (B, L); got {tuple(input_ids.shape)} and "
                f"{tuple(attention_mask.shape)}"
            )
        if self.length is not None and input_ids.shape[1] > self.length:
            raise ValueError(
                f"texts of {input_ids.shape[1]} tokens are too long for a model of {self.length}; "
                f"let the tokenizer cut them there"
            )
        hidden: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        seen = (attention_mask != 0).to(hidden.dtype)  # (B, L)
        if self.pooling is TextPooling.MEAN:
            return (hidden * seen[..., None]).sum(dim=1) / seen.sum(dim=1, keepdim=True).clamp(min=1)
        return hidden[torch.arange(len(hidden), device=hidden.device), self._place(seen)]

    def _place(self, seen: Tensor) -> Tensor:
        """Index ``(B,)`` of the first or of the last token that is none of padding."""
        if self.pooling is TextPooling.BOS:
            return seen.argmax(dim=1)
        return seen.shape[1] - 1 - seen.flip(1).argmax(dim=1)


def load_text_encoder(folder: str | Path, pooling: str = TextPooling.EOS) -> TextEncoder:
    """Text encoder from a folder that transformers' ``save_pretrained`` wrote, such as BioClinicalBERT or ModernBERT.

    Nothing is downloaded, no code of the folder runs, and no pickle is read: weights are in safetensors. They are
    float32 whatever they are stored as.

    Args:
        folder: with ``config.json`` and ``model.safetensors``, whole or in parts.
        pooling: see :class:`TextEncoder`.

    Raises:
        ImportError: transformers is not installed.
        ValueError: for a folder that is none, without configuration or safetensors, or whose weights are not all there.
    """
    transformers, folder = _transformers(), Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} has no config.json: name a local folder that transformers' save_pretrained wrote")
    if not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder} has no *.safetensors; pickled weights are not read: save the model anew as such")
    model, found = transformers.AutoModel.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True
    )
    # transformers starts what is missing from random numbers, and only warns.
    missing = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise ValueError(f"{folder} lacks {len(missing)} weights of its {type(model).__name__}, such as {missing[0]}")
    return TextEncoder(model.float(), pooling)


def small_text_encoder(
    vocabulary: int,
    *,
    width: int = 128,
    depth: int = 2,
    heads: int = 2,
    length: int = 256,
    dropout: float = 0.1,
    pooling: str = TextPooling.EOS,
    pad: int = 0,
) -> TextEncoder:
    """Untrained BERT (Devlin et al. 2019, arXiv:1810.04805), small enough to learn from the reports alone.

    Args:
        vocabulary: number of tokens.
        width: channels of a token, a multiple of the heads.
        depth: number of layers.
        heads: attention heads of each.
        length: the most tokens that a text may have.
        dropout: rate on embeddings, on attention and behind it and the MLP.
        pooling: see :class:`TextEncoder`.
        pad: token of padding, below ``vocabulary``.

    Raises:
        ImportError: transformers is not installed.
        ValueError: for a width that the heads do not divide, or padding that is no token.
    """
    if width % heads:
        raise ValueError(f"width {width} is no multiple of {heads} heads")
    if not 0 <= pad < vocabulary:
        raise ValueError(f"pad {pad} is no token of a vocabulary of {vocabulary}: choose one of 0 to {vocabulary - 1}")
    transformers = _transformers()
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=length,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=pad,
    )
    return TextEncoder(transformers.BertModel(config, add_pooling_layer=False), pooling)


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ImportError("text encoders need transformers: pip install 'mammo[clip]'") from error
