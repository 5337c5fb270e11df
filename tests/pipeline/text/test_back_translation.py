"""Back-translation: a tiny Marian model end to end, and what happens to texts, facts and tables around it."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from mammo.pipeline.text import MarianTranslator, back_translate, back_translate_table, train_tokenizer
from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

SENTENCES = ["there is a mass.", "no calcifications.", "the left breast is dense."]


def same(sentences):
    return list(sentences)


def reworded(sentences):
    return [sentence.replace("there is", "One sees") for sentence in sentences]


@pytest.fixture(scope="module")
def marian(tmp_path_factory) -> Path:
    """A random Marian model with a tokenizer.json, as transformers writes them."""
    folder = tmp_path_factory.mktemp("marian")
    words = train_tokenizer(SENTENCES, vocabulary=120)
    special = {"pad_token": "[PAD]", "eos_token": "[SEP]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    sizes = {f"{part}_{name}": value for part in ("encoder", "decoder") for name, value in SIZES.items()}
    config = MarianConfig(vocab_size=words.get_vocab_size(), d_model=16, max_position_embeddings=24, **ENDS, **sizes)
    torch.manual_seed(0)
    MarianMTModel(config).save_pretrained(folder)
    return folder


SIZES = {"layers": 1, "attention_heads": 2, "ffn_dim": 16}
ENDS = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0, "forced_eos_token_id": 3}


def test_a_marian_model_translates_each_sentence_and_repeats_itself(marian):
    state = torch.get_rng_state()
    translate = MarianTranslator(marian, batch_size=2, beams=2)
    first = translate(SENTENCES)
    assert len(first) == 3
    assert all(isinstance(text, str) and "[PAD]" not in text for text in first)
    assert translate(SENTENCES) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert MarianTranslator(marian, batch_size=2, beams=2, seed=1)(SENTENCES) != first


def test_without_a_temperature_the_seed_does_not_matter(marian):
    likeliest = [MarianTranslator(marian, temperature=None, beams=2, seed=seed)(SENTENCES) for seed in (0, 1)]
    assert likeliest[0] == likeliest[1]


def test_the_likeliest_translation_is_that_of_transformers(marian):
    model = MarianMTModel.from_pretrained(marian).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(marian)
    tokens = tokenizer(SENTENCES[:1], return_tensors="pt", return_token_type_ids=False)
    output = model.generate(**tokens, num_beams=2, max_length=24)
    expected = tokenizer.decode(output[0], skip_special_tokens=True)
    assert MarianTranslator(marian, temperature=None, beams=2)(SENTENCES)[0] == expected


def test_a_sentence_longer_than_the_model_is_cut(marian):
    assert len(MarianTranslator(marian, beams=1)([" ".join(SENTENCES * 5)])) == 1


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no model"):
        MarianTranslator(tmp_path)


@pytest.mark.parametrize("missing", ["transformers", "sentencepiece"])
def test_a_missing_library_is_named(monkeypatch, marian, tmp_path, missing):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "source.spm").touch()
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=rf"need {missing}, which is not installed: pip install"):
        MarianTranslator(tmp_path)


def test_texts_come_back_sentence_by_sentence_in_lower_case():
    texts = ["there is a mass. no change.", "no change."]
    assert back_translate(texts, reworded, same) == ["one sees a mass. no change.", "no change."]
    assert back_translate([], same, same) == []


def test_equal_sentences_are_translated_once():
    seen = []
    back_translate(["no mass. no mass.", "no mass."], lambda sentences: seen.extend(sentences) or sentences, same)
    assert seen == ["no mass."]


@pytest.mark.parametrize(
    ("sentence", "careless"),
    [
        ("a mass in the left breast.", "a mass in the right breast."),
        ("upper outer mass.", "outer mass."),
        ("no mass is seen.", "a mass is seen."),
        ("a mass is seen.", "there isn't a mass."),
        ("a 2.5 cm mass.", "a 25 cm mass."),
        ("a mass.", " "),
    ],
)
def test_a_sentence_whose_facts_do_not_come_back_stays(sentence, careless):
    assert back_translate([sentence], same, lambda sentences: [careless]) == [sentence]


@pytest.mark.parametrize(
    ("sentence", "other"), [("no mass is seen.", "Nor is a mass seen."), ("left mass.", "a left one.")]
)
def test_a_sentence_with_the_same_facts_in_other_words_is_taken(sentence, other):
    assert back_translate([sentence], same, lambda sentences: [other]) == [other.lower()]


def test_a_translator_that_loses_sentences_is_refused():
    with pytest.raises(ValueError, match="2 sentences came back as 1"):
        back_translate(["no mass. benign."], same, lambda sentences: sentences[:1])


@pytest.mark.parametrize("written", [True, False])
def test_a_table_gains_texts_of_the_same_form_and_order(written):
    cells = [["there is a mass. benign.", "benign."], [], ["no change."]]
    expected = [["one sees a mass. benign.", "benign."], [], ["no change."]]
    table = pd.DataFrame(
        {"text": [repr(cell) if written else cell for cell in cells], "fold": [0, 1, 2]}, index=[7, 3, 5]
    )
    before = table.copy()
    after = back_translate_table(table, reworded, same)
    assert list(after["text_augment"]) == [repr(cell) if written else cell for cell in expected]
    pd.testing.assert_frame_equal(after[["text", "fold"]], before)
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    "cell", ["[str(1)]", "__import__('os')", "['a'", "'a'", "[1]", float("nan"), "[" * 2000, " " * 1_000_001]
)
def test_a_cell_that_is_no_list_of_texts_is_refused_and_never_run(cell):
    with pytest.raises(ValueError, match="row 4 of 'text'"):
        back_translate_table(pd.DataFrame({"text": [cell]}, index=[4]), same, same)


def test_a_table_without_the_column_is_refused():
    with pytest.raises(ValueError, match="no column 'text', only report"):
        back_translate_table(pd.DataFrame({"report": ["[]"]}), same, same)
