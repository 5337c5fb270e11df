"""Which two texts of a breast a training step sees, and which of their sentences in which order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .cleaning import split_sentences

__all__ = ["draw_sentence", "draw_texts"]


def draw_texts(
    texts: Sequence[str],
    augmented: Sequence[str] | None = None,
    *,
    rng: np.random.Generator | None = None,
    sentence_sampling: float = 1.0,
    shuffle: bool = True,
) -> tuple[str, str]:
    """Draw the two texts that multi-view supervision pairs with the two views (Mammo-CLIP, arXiv:2405.12255).

    Of several texts two are drawn with replacement, each replaced by its back-translation with probability 0.5. A
    single text is paired with its back-translation in random order, or with itself. Sentences are then drawn and
    shuffled for each of the two anew; it takes texts that keep their periods, see
    :func:`~mammo.pipeline.text.clean_text`.

    Args:
        texts: of one breast, normally findings and impression.
        augmented: their back-translations in the same order; None where there are none.
        rng: source of randomness; None gives the first text and the second (or the first one's back-translation, or
            the first again), whole and in order, for validation.
        sentence_sampling: share of a text's sentences that is kept, above 0 and up to 1, rounded up.
        shuffle: change the order of the sentences.

    Raises:
        ValueError: for no or an empty text, a count of back-translations that is not that of the texts, or a share
            outside its bounds.
    """
    if not texts or not all(text.strip() for text in (*texts, *(augmented or ()))):
        raise ValueError("a breast needs at least one text and none may be empty; leave breasts without a report out")
    if augmented is not None and len(augmented) != len(texts):
        raise ValueError(f"{len(texts)} texts have {len(augmented)} back-translations; give one for each, or None")
    if not 0 < sentence_sampling <= 1:
        raise ValueError(f"sentence_sampling is {sentence_sampling}; it is a share above 0 and up to 1")
    others = texts if augmented is None else augmented
    if rng is None:
        return texts[0], texts[1] if len(texts) > 1 else others[0]
    first, second = _pair(texts, others, rng)
    return _sampled(first, sentence_sampling, shuffle, rng), _sampled(second, sentence_sampling, shuffle, rng)


def draw_sentence(texts: Sequence[str], *, rng: np.random.Generator | None = None) -> str:
    """One sentence of all, as the plain CLIP baseline takes it (ConVIRT, arXiv:2010.00747); without ``rng`` the first.

    Raises:
        ValueError: where no text holds a sentence.
    """
    sentences = [sentence for text in texts for sentence in split_sentences(text)]
    if not sentences:
        raise ValueError("a breast needs at least one sentence; leave breasts without a report out")
    return sentences[0 if rng is None else int(rng.integers(len(sentences)))]


def _pair(texts: Sequence[str], others: Sequence[str], rng: np.random.Generator) -> tuple[str, str]:
    if len(texts) == 1:
        pair = (texts[0], others[0])
        return pair if rng.random() < 0.5 else pair[::-1]
    first, second = ((texts if rng.random() < 0.5 else others)[index] for index in rng.integers(len(texts), size=2))
    return first, second


def _sampled(text: str, share: float, shuffle: bool, rng: np.random.Generator) -> str:
    sentences = split_sentences(text)
    count = math.ceil(share * len(sentences) - 1e-9)  # 0.28 * 25 comes out a little above 7
    chosen = rng.permutation(len(sentences))[:count]
    return " ".join(sentences[index] for index in (chosen if shuffle else sorted(chosen)))
