"""Reports said in other words: translated to another language and back by Marian models on disk."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..random_streams import stream_seed
from .cleaning import split_sentences
from .tokens import require

__all__ = ["MarianTranslator", "back_translate", "back_translate_table"]

Translate = Callable[[Sequence[str]], list[str]]

# A sentence that changes one of these says something else of the picture.
_FACTS = re.compile(r"\b(?:left|right|upper|lower|inner|outer|\d+(?:\.\d+)?)\b")
_NEGATION = re.compile(r"\b(?:no|not|none|without|never|negative|nor|absent|absence|free)\b|n't\b")
_LARGEST_CELL = 1_000_000  # characters of a table's cell that is read as a list


class MarianTranslator:
    """Translate sentences by a Marian model (such as ``Helsinki-NLP/opus-mt-en-it``) from a folder on disk.

    Translations are sampled, so that they differ from what one would expect: the settings are those of Mammo-CLIP
    (arXiv:2405.12255). Equal sentences in equal batches give equal translations; the caller's random state is left
    as it was. Nothing is downloaded, and weights are read without unpickling code.

    Args:
        folder: a local copy of the model with its tokenizer.
        device: where to translate.
        batch_size: sentences at a time.
        temperature: above 1 for more unusual words; None takes the likeliest translation.
        beams: of the search.
        seed: of the sampling.

    Raises:
        ValueError: where transformers (or sentencepiece, for Marian's own tokenizer files) is not installed, and for a
            folder without a model.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 128,
        temperature: float | None = 1.5,
        beams: int = 5,
        seed: int = 42,
    ) -> None:
        transformers = require("transformers")
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise ValueError(f"{folder} holds no model (config.json); download one there before, such as opus-mt-en-it")
        if any(folder.glob("*.spm")):
            require("sentencepiece")
        local = {"local_files_only": True, "trust_remote_code": False}
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, **local)
        with torch.random.fork_rng(devices=[]):  # building a model draws weights before it reads them
            self.model: Any = transformers.MarianMTModel.from_pretrained(folder, weights_only=True, **local)
        self.model.to(device).eval()
        self.device, self.batch_size, self.seed = torch.device(device), batch_size, seed
        self.search: dict[str, Any] = {"num_beams": beams}
        if temperature is not None:
            self.search |= {"do_sample": True, "temperature": temperature}

    def __call__(self, sentences: Sequence[str]) -> list[str]:
        translated: list[str] = []
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            for start in range(0, len(sentences), self.batch_size):
                torch.manual_seed(stream_seed(self.seed, start))
                translated += self._batch(list(sentences[start : start + self.batch_size]))
        return translated

    @torch.inference_mode()
    def _batch(self, sentences: list[str]) -> list[str]:
        longest = self.model.config.max_position_embeddings
        tokens = self.tokenizer(sentences, return_tensors="pt", padding=True, truncation=True, max_length=longest)
        ids = {name: tokens[name].to(self.device) for name in ("input_ids", "attention_mask")}
        output = self.model.generate(**ids, **self.search, max_length=longest)
        return [str(text) for text in self.tokenizer.batch_decode(output, skip_special_tokens=True)]


def back_translate(texts: Sequence[str], there: Translate, back: Translate) -> list[str]:
    """Say texts in other words, sentence by sentence, in lower case; equal sentences are translated once.

    By sentences, because whole reports may be longer than a model takes, and the result must keep its sentences to be
    shuffled. A sentence whose sides, quadrants, numbers or negation do not come back stays as it is: sampling at a high
    temperature is careless with them.

    Args:
        texts: cleaned texts with their periods.
        there: translates into another language, see :class:`MarianTranslator`.
        back: translates from it.

    Raises:
        ValueError: for a translator that does not give one translation for each sentence.
    """
    sentences = list(dict.fromkeys(sentence for text in texts for sentence in split_sentences(text)))
    returned = back(there(sentences)) if sentences else []
    if len(returned) != len(sentences):
        raise ValueError(f"{len(sentences)} sentences came back as {len(returned)}; a translator gives one for each")
    said = {
        sentence: other.strip().lower() if _agree(sentence.lower(), other.lower()) else sentence.lower()
        for sentence, other in zip(sentences, returned, strict=True)
    }
    return [" ".join(said[sentence] for sentence in split_sentences(text)) for text in texts]


def back_translate_table(
    table: pd.DataFrame, there: Translate, back: Translate, *, source: str = "text", target: str = "text_augment"
) -> pd.DataFrame:
    """Add the back-translations of a table's texts as a column, in the form of Mammo-CLIP's pretraining table.

    Args:
        table: one breast a row; the cells of ``source`` are lists of texts, or such lists as Python writes them.
        there: as for :func:`back_translate`.
        back: as for :func:`back_translate`.
        source: the column of texts.
        target: the column that is added or replaced, its cells as long, in the order and of the form of ``source``.

    Raises:
        ValueError: for a table without the column, and a cell that is no list of texts.
    """
    if source not in table:
        raise ValueError(f"the table has no column {source!r}, only {', '.join(map(str, table.columns))}")
    cells = [_texts(cell, f"row {index} of {source!r}") for index, cell in table[source].items()]
    said = iter(back_translate([text for cell in cells for text in cell], there, back))
    filled: list[Any] = [[next(said) for _ in cell] for cell in cells]
    written = [repr(new) if isinstance(old, str) else new for old, new in zip(table[source], filled, strict=True)]
    return table.assign(**{target: pd.Series(written, index=table.index, dtype=object)})


def _agree(sentence: str, other: str) -> bool:
    facts, others = (Counter(_FACTS.findall(each)) for each in (sentence, other))
    denied, others_denied = (_NEGATION.search(each) is not None for each in (sentence, other))
    return bool(other.strip()) and facts == others and denied == others_denied


def _texts(cell: Any, where: str) -> list[str]:
    content = cell
    if isinstance(cell, str) and len(cell) <= _LARGEST_CELL:
        try:
            content = ast.literal_eval(cell)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise ValueError(f"{where} is not a list of texts as Python writes it: {cell[:80]!r}") from error
    if not isinstance(content, (list, tuple)) or not all(isinstance(text, str) for text in content):
        raise ValueError(f"{where} must be a list of texts, got {str(cell)[:80]!r}")
    return list(content)
