"""Batches of images and reports, the tokenizer of a run, and how well images and reports find each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from monai.data import list_data_collate
from torch import Tensor

from ...networks.losses.image_text import NOTHING
from ...networks.text_encoder import TextEncoder, load_text_encoder, small_text_encoder
from ..datasets.breast_pairs import TextSource, report_texts
from ..engines import RandomBatches
from ..files import write_atomically
from ..text import TextTokenizer, draw_sentence, draw_texts, load_tokenizer, split_sentences, train_tokenizer

__all__ = ["PrepareImageTextBatch", "collate_pairs", "report_tokenizer", "text_encoder", "text_ids"]

TEXTS = ("texts", "augmented_texts", "facts", "implied")
_DRAWS = 4
"""Wordings of each record that a vocabulary is learned from, where words are drawn."""


def collate_pairs(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch of :class:`~mammo.pipeline.datasets.breast_pairs.BreastPairs`; what is told stays a list of items."""
    batch: dict[str, Any] = list_data_collate([{k: v for k, v in item.items() if k not in TEXTS} for item in items])
    return batch | {name: [item[name] for item in items] for name in TEXTS}


def text_ids(texts: Iterable[str]) -> Tensor:
    """``(B,)`` int64, equal for texts of the same words, in every process and run alike."""
    digests = (hashlib.blake2b(" ".join(text.lower().split()).encode(), digest_size=8).digest() for text in texts)
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests], dtype=torch.int64)


def statement_ids(firsts: Sequence[str], others: Sequence[str], batch: Mapping[str, Any]) -> Tensor:
    """What text, other text and all texts of a breast say: an id for each of their sentences, in any order.

    Returns:
        ``(B, 3, S)`` int64, equal for equal sentences and for those that say the same in other words.
    """
    said = []
    told = zip(firsts, others, *(batch[name] for name in TEXTS), strict=True)
    for first, other, texts, augmented, facts, implied in told:
        whole = " ".join([*texts, *augmented])
        parts = [[facts.get(s, s) for s in split_sentences(text)] for text in (first, other, whole)]
        parts[2] += implied
        said += [text_ids(dict.fromkeys(part)) for part in parts]
    stacked = torch.nn.utils.rnn.pad_sequence(said, batch_first=True, padding_value=NOTHING)
    return stacked.reshape(len(firsts), 3, -1)


class PrepareImageTextBatch(RandomBatches):
    """Draw the texts of a batch of breasts: the ``prepare_batch`` of image-text pretraining.

    Returns MONAI's four-part batch: the images ``(B, 2, H, W)`` (image, breast mask), as target the ids of what is said
    (:func:`statement_ids`), the other images, and the tokens for the network.

    Args:
        tokenizer: of the text encoder.
        length: most tokens of a text.
        sentence_sampling: share of a text's sentences that is kept.
        shuffle: change the order of the sentences.
        single: one view and one sentence of the report, as the CLIP baseline; else two of each.
        chunk: images that the network holds at a time, see :func:`mammo.networks.gradient_cache.in_chunks`; None
            takes the batch whole.
        training: draw; otherwise always the first texts, whole.
        seed, repeat: see :class:`~mammo.pipeline.engines.RandomBatches`.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        *,
        length: int = 256,
        sentence_sampling: float = 1.0,
        shuffle: bool = True,
        single: bool = False,
        chunk: int | None = None,
        training: bool = True,
        seed: int = 0,
        repeat: bool = False,
    ) -> None:
        super().__init__(seed=seed, repeat=repeat)
        self.tokenizer, self.length = tokenizer, length
        self.sentence_sampling, self.shuffle = sentence_sampling, shuffle
        self.single, self.chunk, self.training = single, chunk, training

    def __call__(
        self, batch: Mapping[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...], dict[str, Any]]:
        to = {"device": device, "non_blocking": non_blocking}
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=self.generator))) if self.training else None
        drawn = [self._draw(*both, rng) for both in zip(batch["texts"], batch["augmented_texts"], strict=True)]
        firsts, others = ([pair[k] for pair in drawn] for k in (0, 1))
        tokens, mask = self.tokenizer(firsts, self.length)
        more: dict[str, Any] = {"tokens": tokens.to(**to), "mask": mask.to(**to), "chunk": self.chunk}
        if not self.single:
            tokens, mask = self.tokenizer(others, self.length)
            more |= {"other_tokens": tokens.to(**to), "other_mask": mask.to(**to)}
        ids = statement_ids(firsts, others, batch).to(**to)
        other = () if self.single else (batch["other_image"].to(**to, **kwargs),)
        return batch["image"].to(**to, **kwargs), ids, other, more

    def _draw(self, texts: Sequence[str], augmented: Sequence[str], rng: np.random.Generator | None) -> tuple[str, str]:
        if self.single:
            return (draw_sentence(texts, rng=rng),) * 2
        share = self.sentence_sampling
        return draw_texts(texts, augmented or None, rng=rng, sentence_sampling=share, shuffle=self.shuffle)


def report_tokenizer(
    source: str | Path | None,
    *,
    records: Sequence[Mapping[str, Any]],
    path: str | Path,
    vocabulary: int = 2000,
    texts: TextSource = report_texts,
) -> TextTokenizer:
    """The tokenizer of a run: that of a text encoder's folder, or one learned from the texts and kept in the run.

    Args:
        source: folder of a text encoder, or a ``tokenizer.json``; None learns a vocabulary.
        records: the training records, whose texts it is learned from.
        path: where the learned one is kept; what is already there is read, so that a resumed run has the same.
        vocabulary: most tokens of the learned one.
        texts: what tells the texts of a record; what draws its words is asked several times.

    Raises:
        ValueError: no record has a text, or the source holds no tokenizer.
    """
    if source is not None:
        return load_tokenizer(source)
    path = Path(path)
    with idist.one_rank_first():
        if not path.is_file():
            said = list(_said(records, texts))
            if not said:
                raise ValueError(f"none of {len(records)} training records has a text to learn words from")
            path.parent.mkdir(parents=True, exist_ok=True)
            learned = train_tokenizer(said, vocabulary=vocabulary)
            write_atomically(path, learned.to_str(pretty=True).encode())
    return load_tokenizer(path)


def _said(records: Sequence[Mapping[str, Any]], texts: TextSource) -> Iterator[str]:
    for place, record in enumerate(records):
        yield from texts([record], None).texts
        for draw in range(0 if texts is report_texts else _DRAWS):
            told = texts([record], np.random.default_rng([place, draw]))
            yield from (*told.texts, *told.augmented)


def text_encoder(
    folder: str | Path | None, tokenizer: TextTokenizer, *, pooling: str = "eos", length: int = 256, **layout: int
) -> TextEncoder:
    """A text encoder of transformers from a local folder, or a small untrained one for the tokenizer.

    Args:
        folder: see :func:`~mammo.networks.text_encoder.load_text_encoder`; None builds the small one.
        tokenizer: whose tokens it takes.
        pooling: ``eos``, ``bos`` or ``mean``.
        length: most tokens of a text, of the small one.
        layout: ``width``, ``depth`` and ``heads`` of the small one.

    Raises:
        ValueError: the tokenizer has more tokens than the folder's encoder.
    """
    if folder is None:
        return small_text_encoder(
            tokenizer.vocabulary_size, pooling=pooling, length=length, pad=tokenizer.pad_id, **layout
        )
    encoder = load_text_encoder(folder, pooling)
    model: Any = encoder.model
    known = model.get_input_embeddings().num_embeddings
    if tokenizer.vocabulary_size > known:
        raise ValueError(f"{folder} knows {known} tokens and the tokenizer has {tokenizer.vocabulary_size}: not a pair")
    return encoder
