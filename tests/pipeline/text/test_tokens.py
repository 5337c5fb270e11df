"""Tokens: a vocabulary that chance does not shape, BERT's own pieces, padding and cutting, and safe files."""

import ast
import json
import pickle
import sys
from pathlib import Path

import mammo.pipeline.text
import numpy as np
import pytest
import torch
from mammo.pipeline.text import (
    FINDINGS,
    TextTokenizer,
    load_tokenizer,
    save_tokenizer,
    synthesise,
    train_tokenizer,
)
from mammo.pipeline.text.tokens import SPECIAL_TOKENS
from tokenizers import Tokenizer, models, normalizers

try:
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy
except ModuleNotFoundError:  # before transformers 5 it had this name
    from transformers import BertTokenizer as BertTokenizerLegacy

TRICKY = [
    "A 2.5cm SPICULATED mass, upper-outer!",
    "Bénigne, no change.",
    "",
    "良性 calcifications",
    "x" * 120,
    "[MASK] me",
]


@pytest.fixture(scope="module")
def reports() -> list[str]:
    rng = np.random.default_rng(0)
    return [synthesise([FINDINGS[i % 10]], FINDINGS[i % 10 + 1 :], laterality="LR"[i % 2], rng=rng) for i in range(200)]


@pytest.fixture(scope="module")
def trained(reports) -> Tokenizer:
    return train_tokenizer(reports, vocabulary=300)


@pytest.fixture
def vocabulary_folder(trained, tmp_path) -> Path:
    words = sorted(trained.get_vocab(), key=trained.get_vocab().get)
    (tmp_path / "vocab.txt").write_text("\n".join([*words, "\u2028", "Mass", ""]))
    return tmp_path


def plain(folder: Path, lowercase: bool) -> BertTokenizerLegacy:
    """BERT's tokenizer written in Python: an implementation that shares nothing with the tokenizers library."""
    return BertTokenizerLegacy(str(folder / "vocab.txt"), do_lower_case=lowercase)


def test_special_tokens_come_first(trained):
    assert [trained.id_to_token(number) for number in range(5)] == list(SPECIAL_TOKENS)
    assert sorted(trained.get_vocab().values()) == list(range(trained.get_vocab_size()))


@pytest.mark.parametrize("size", [90, 200, 300])
def test_the_vocabulary_is_no_larger_than_asked(reports, size):
    assert train_tokenizer(reports, vocabulary=size).get_vocab_size() <= size


def test_equal_texts_give_an_equal_tokenizer(reports, trained):
    # Hash maps of the trainer have a new order in every map, not only in every process.
    assert len({train_tokenizer(reports, vocabulary=300).to_str() for _ in range(4)} | {trained.to_str()}) == 1


def test_frequent_words_are_whole_and_no_plain_word_is_unknown(trained):
    assert trained.encode("There is no mass.").tokens == ["[CLS]", "there", "is", "no", "mass", ".", "[SEP]"]
    for word in ("zebra", "xylophone", "quartz99"):
        assert "[UNK]" not in trained.encode(word).tokens


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_vocabulary_file_is_read_as_bert_reads_it(vocabulary_folder, reports, lowercase):
    ours, theirs = load_tokenizer(vocabulary_folder, lowercase=lowercase), plain(vocabulary_folder, lowercase)
    texts = reports[:20] + TRICKY
    tokens = ours(texts)
    expected = [theirs.encode(text) for text in texts]
    assert [ids[mask == 1].tolist() for ids, mask in zip(*tokens, strict=True)] == expected


def test_a_vocabulary_file_alone_is_read_in_lower_case_and_its_settings_are_heeded(vocabulary_folder):
    def ids() -> list[int]:
        return load_tokenizer(vocabulary_folder)(["Mass"]).input_ids[0].tolist()

    assert ids() == plain(vocabulary_folder, True).encode("Mass")
    (vocabulary_folder / "tokenizer_config.json").write_text(
        '{"do_lower_case": false, "pad_token": {"content": "[PAD]"}}'
    )
    assert ids() == plain(vocabulary_folder, False).encode("Mass")
    assert ids() != plain(vocabulary_folder, True).encode("Mass")


def test_saving_and_loading_keeps_every_token(trained, reports, tmp_path):
    before = TextTokenizer(trained)(reports + TRICKY)
    save_tokenizer(trained, tmp_path / "tokenizer.json")
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        after = load_tokenizer(path)(reports + TRICKY)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    assert (content["padding"], content["truncation"]) == (None, None)
    save_tokenizer(load_tokenizer(tmp_path).tokenizer, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "tokenizer.json").read_text()


def test_padding_is_masked_and_as_long_as_the_longest_text_or_as_asked(trained):
    tokenizer = TextTokenizer(trained)
    ids, mask = tokenizer(["no mass", "there is no mass here"], 20)
    assert ids.shape == mask.shape == (2, len(trained.encode("there is no mass here").ids))
    assert ids.dtype == mask.dtype == torch.int64
    assert mask.sum(1).max() == ids.shape[1]
    assert torch.equal(ids == tokenizer.pad_id, mask == 0)
    assert tokenizer(["no mass"], 20, pad_to_length=True).input_ids.shape == (1, 20)
    assert tokenizer(["no mass"], 20).input_ids.shape == (1, 4)


def test_a_long_text_is_cut_and_still_ends_with_its_last_special_token(trained, reports):
    ids, mask = TextTokenizer(trained)([" ".join(reports[:5]), "no mass"], 16)
    assert ids.shape == (2, 16)
    last = ids.gather(1, mask.sum(1, keepdim=True) - 1)
    assert (last == trained.token_to_id("[SEP]")).all()


def test_a_tokenizer_goes_to_a_worker(trained):
    tokenizer = TextTokenizer(trained)
    other = pickle.loads(pickle.dumps(tokenizer))
    assert torch.equal(other(["no mass"]).input_ids, tokenizer(["no mass"]).input_ids)


def test_lower_casing_of_a_json_file_can_be_pinned(trained, tmp_path):
    save_tokenizer(trained, tmp_path / "tokenizer.json")
    upper = load_tokenizer(tmp_path, lowercase=False)(["MASS"]).input_ids
    assert not torch.equal(upper, load_tokenizer(tmp_path)(["MASS"]).input_ids)
    assert torch.equal(
        load_tokenizer(tmp_path, lowercase=True)(["MASS"]).input_ids, load_tokenizer(tmp_path)(["mass"])[0]
    )


@pytest.mark.parametrize("own", [None, normalizers.NFC()])
def test_lower_casing_is_added_to_a_tokenizer_that_has_none(tmp_path, own):
    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "mass": 2, "MASS": 3}, unk_token="<unk>"))
    if own:
        tokenizer.normalizer = own
    save_tokenizer(tokenizer, tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "<pad>"}')
    found = [load_tokenizer(tmp_path, lowercase=pin)(["MASS"]).input_ids.item() for pin in (None, False, True)]
    assert found == [3, 3, 2]


def test_lower_casing_that_cannot_be_taken_away_is_refused(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "mass": 1}, unk_token="[PAD]"))
    tokenizer.normalizer = normalizers.Lowercase()
    save_tokenizer(tokenizer, tmp_path / "tokenizer.json")
    with pytest.raises(ValueError, match="by a rule of its own"):
        load_tokenizer(tmp_path, lowercase=False)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no folder with one or with vocab.txt"),
        ({"tokenizer.json": "{}"}, "is not a tokenizer.json that"),
        ({"vocab.txt": "[PAD]\n[UNK]\nmass\n"}, r"has no token \[CLS\]"),
        ({"vocab.txt": "[PAD]\n", "tokenizer_config.json": "[1"}, "tokenizer_config.json is not a JSON object"),
        ({"vocab.txt": "[PAD]\n", "tokenizer_config.json": "[1]"}, "tokenizer_config.json is not a JSON object"),
    ],
)
def test_a_folder_that_holds_no_tokenizer_is_refused(tmp_path, files, words):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=words):
        load_tokenizer(tmp_path)


def test_errors_name_the_way_out(trained):
    tokenizer = TextTokenizer(trained)
    with pytest.raises(ValueError, match="a list of one text or more, got 'no mass'"):
        tokenizer("no mass")
    with pytest.raises(ValueError, match="a list of one text or more"):
        tokenizer([])
    with pytest.raises(ValueError, match="above the 2 special tokens"):
        tokenizer(["no mass"], 2)
    with pytest.raises(ValueError, match="no token '<pad>'"):
        TextTokenizer(trained, pad="<pad>")
    with pytest.raises(ValueError, match="it takes 77 or more"):
        train_tokenizer(["no mass"], vocabulary=76)
    with pytest.raises(ValueError, match="the 2 texts hold no word"):
        train_tokenizer(["", " "])


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ValueError, match=r"need tokenizers, which is not installed: pip install 'mammo\[clip\]'"):
        train_tokenizer(["no mass"])


def test_no_module_imports_the_extra_libraries_when_it_is_imported():
    for file in Path(mammo.pipeline.text.__file__).parent.glob("*.py"):
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not {"transformers", "tokenizers", "sentencepiece"}.intersection(names), file.name
