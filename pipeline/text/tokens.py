"""From texts to the token ids of a text encoder: a WordPiece vocabulary of the reports' own, or a model's."""

from __future__ import annotations

import importlib
import json
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "SPECIAL_TOKENS",
    "TextTokenizer",
    "Tokens",
    "load_tokenizer",
    "require",
    "save_tokenizer",
    "train_tokenizer",
]

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Those of BERT, in the order of their ids from 0."""

_PAD, _UNK, _CLS, _SEP, _ = SPECIAL_TOKENS
_ALPHABET = frozenset(string.ascii_lowercase + string.digits)


class Tokens(NamedTuple):
    """A batch of texts as a text encoder takes it: two ``(B, L)`` int64 tensors, the mask 1 at tokens, 0 at padding."""

    input_ids: Tensor
    attention_mask: Tensor


class TextTokenizer:
    """Texts to padded tensors, by any tokenizer of the ``tokenizers`` library; it can be pickled for workers.

    A text of more than ``length`` tokens is cut; its last special token stays the last.

    Args:
        tokenizer: with its own splitting and special tokens; its truncation and padding are set anew at every call.
        pad: the token that fills short texts up.

    Attributes:
        vocabulary_size: number of token ids, special tokens included.
        pad_id: id of ``pad``.

    Shape:
        - output: :class:`Tokens` of ``(B, L)``, L being ``length``, or without ``pad_to_length`` the tokens of the
          longest text.

    Raises:
        ValueError: for a padding token that the vocabulary does not hold, for no text, and for a ``length`` without
            room for a word.
    """

    def __init__(self, tokenizer: Tokenizer, *, pad: str = _PAD) -> None:
        pad_id = tokenizer.token_to_id(pad)
        if pad_id is None:
            raise ValueError(f"the vocabulary has no token {pad!r}; name its own padding token with 'pad'")
        self.tokenizer, self.pad, self.pad_id = tokenizer, pad, pad_id
        self.vocabulary_size = tokenizer.get_vocab_size()

    def __call__(self, texts: Sequence[str], length: int = 256, *, pad_to_length: bool = False) -> Tokens:
        if isinstance(texts, str) or not texts:
            raise ValueError(f"texts must be a list of one text or more, got {texts!r}")
        special = self.tokenizer.num_special_tokens_to_add(False)
        if length <= special:
            raise ValueError(f"length is {length}; it must be above the {special} special tokens of every text")
        self.tokenizer.enable_truncation(length)
        self.tokenizer.enable_padding(pad_id=self.pad_id, pad_token=self.pad, length=length if pad_to_length else None)
        encoded = self.tokenizer.encode_batch(list(texts))
        ids, masks = ([getattr(each, name) for each in encoded] for name in ("ids", "attention_mask"))
        return Tokens(torch.tensor(ids, dtype=torch.int64), torch.tensor(masks, dtype=torch.int64))


def train_tokenizer(texts: Iterable[str], *, vocabulary: int = 2000) -> Tokenizer:
    """Learn a lower-case WordPiece vocabulary (BERT, arXiv:1810.04805) from reports; equal texts give an equal one.

    Every ASCII letter and digit is in it, so that no plain word of a prompt is unknown.

    Args:
        texts: the training reports and no others, since words of held-out reports would shape the vocabulary.
        vocabulary: most tokens that it may have, the special tokens and the single characters included.

    Raises:
        ValueError: for texts without a word, or a vocabulary too small for their characters.
    """
    tokenizers, kept = require("tokenizers"), list(texts)
    learner = _bert(tokenizers.models.WordPiece(unk_token=_UNK), lowercase=True)
    words = {word for text in kept for word in _split(learner, text)}
    if not words:
        raise ValueError(f"the {len(kept)} texts hold no word to learn a vocabulary from; give reports")
    first, inner = (sorted(_ALPHABET.union(*parts)) for parts in (words, (word[1:] for word in words)))
    # The trainer numbers inner characters in the order of a hash map, which differs from run to run, and settles by
    # their numbers which of two equally frequent pairs to join. Numbered beforehand, they are alike in every run.
    numbered = [*SPECIAL_TOKENS, *(f"##{character}" for character in inner)]
    if vocabulary < len(numbered) + len(first):
        least = len(numbered) + len(first)
        raise ValueError(f"a vocabulary of {vocabulary} cannot hold the single characters; it takes {least} or more")
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=numbered, initial_alphabet=first, show_progress=False
    )
    learner.train_from_iterator(kept, trainer)
    return _bert(tokenizers.models.WordPiece(learner.get_vocab(), unk_token=_UNK), lowercase=True)


def save_tokenizer(tokenizer: Tokenizer, path: Path | str) -> None:
    """Write a tokenizer as plain JSON (``tokenizer.json``), which :func:`load_tokenizer` and transformers read."""
    content = json.loads(tokenizer.to_str()) | {"truncation": None, "padding": None}
    Path(path).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load_tokenizer(path: Path | str, *, lowercase: bool | None = None) -> TextTokenizer:
    """Read a tokenizer from disk. Nothing is downloaded or unpickled, and transformers is not needed.

    Args:
        path: a ``tokenizer.json``, or a model's folder with a ``tokenizer.json`` or BERT's ``vocab.txt``; a
            ``tokenizer_config.json`` beside these names the padding token and says whether texts are lower-cased.
        lowercase: overrides what the files say. Where None, and a ``vocab.txt`` has no word on it beside it, such as
            that of Bio_ClinicalBERT, texts are lower-cased, as by transformers and in Mammo-CLIP.

    Raises:
        ValueError: where the path holds no tokenizer, or one that cannot be read so.
    """
    path = Path(path)
    files = [path / "tokenizer.json", path / "vocab.txt"] if path.is_dir() else [path]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ValueError(
            f"{path} is no tokenizer.json and no folder with one or with vocab.txt. A run of mammo pretrain --bundle "
            "mammo_clip leaves one in its folder; a public one is written by transformers' "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder)"
        )
    settings = _settings(file.with_name("tokenizer_config.json"))
    lower = settings.get("do_lower_case") if lowercase is None else lowercase
    tokenizer = _from_words(file, settings, lower) if file.suffix == ".txt" else _from_json(file, lower)
    pad = settings.get("pad_token") or _PAD
    return TextTokenizer(tokenizer, pad=pad["content"] if isinstance(pad, Mapping) else pad)


def require(library: str) -> Any:
    """Import a library of the ``clip`` extra.

    Raises:
        ValueError: where it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ValueError(f"report texts need {library}, which is not installed: pip install 'mammo[clip]'") from error


def _bert(model: Any, *, lowercase: bool, strip_accents: bool | None = None, chinese: bool = True) -> Tokenizer:
    """BERT's splitting and special tokens around a WordPiece model."""
    tokenizers = require("tokenizers")
    tokenizer: Tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=strip_accents, handle_chinese_chars=chinese
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    ids = [(token, tokenizer.token_to_id(token)) for token in (_CLS, _SEP)]
    if all(number is not None for _, number in ids):  # not so before the training
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{_CLS} $A {_SEP}", pair=f"{_CLS} $A {_SEP} $B:1 {_SEP}:1", special_tokens=ids
        )
        tokenizer.add_special_tokens([token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is not None])
    return tokenizer


def _split(tokenizer: Tokenizer, text: str) -> list[str]:
    normal = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]


def _settings(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file} is not a JSON object of settings: {error}; repair or remove it") from error


def _from_words(file: Path, settings: Mapping[str, Any], lowercase: bool | None) -> Tokenizer:
    # Not splitlines: BERT's vocabularies hold separators of Unicode as words.
    words = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    missing = [token for token in (_PAD, _UNK, _CLS, _SEP) if token not in words]
    if missing:
        raise ValueError(
            f"{file} has no token {missing[0]}; only BERT's WordPiece vocabularies are read from vocab.txt"
        )
    model = require("tokenizers").models.WordPiece({word: i for i, word in enumerate(words)}, unk_token=_UNK)
    return _bert(
        model,
        lowercase=lowercase is not False,
        strip_accents=settings.get("strip_accents"),
        chinese=settings.get("tokenize_chinese_chars", True),
    )


def _from_json(file: Path, lowercase: bool | None) -> Tokenizer:
    tokenizers = require("tokenizers")
    try:
        tokenizer: Tokenizer = tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # the library knows no narrower one
        raise ValueError(f"{file} is not a tokenizer.json that the tokenizers library reads: {error}") from error
    if lowercase is None:
        return tokenizer
    own = tokenizer.normalizer
    if isinstance(own, tokenizers.normalizers.BertNormalizer):
        own.lowercase = lowercase
    elif lowercase:
        steps = [tokenizers.normalizers.Lowercase(), *([own] if own else [])]
        tokenizer.normalizer = tokenizers.normalizers.Sequence(steps)
    elif own and "A" not in own.normalize_str("A"):
        raise ValueError(f"{file} lower-cases texts by a rule of its own; read it without lowercase=False")
    return tokenizer
