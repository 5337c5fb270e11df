"""Sentences asked from the command line, and files of classifiers made of them."""

import json

import pytest
import torch
from mammo.networks import ImageTextModel, SwinEncoder, ZeroShotClassifier, blank_zero_shot, load_network
from mammo.pipeline.image_text import ZeroShotWeights, asked_prompts, read_asked
from mammo.pipeline.text import PROMPTS, PUBLISHED
from torch.nn import functional as F


def test_named_prompts_ask_the_two_of_the_paper_or_what_is_named():
    assert asked_prompts("published") == {f"finding_{name}": PUBLISHED[name] for name in ("mass", "calcification")}
    assert asked_prompts("ensemble", ["density", "suspicious"]) == {
        "density": PROMPTS["density"],
        "suspicious": PROMPTS["malignancy"],
    }


def test_inline_sentences_need_no_names_of_classes():
    found = asked_prompts('{"mass": [["no mass"], ["mass", "a mass"]], "grade": [["one"], ["two"], ["three"]]}')
    assert found == {
        "mass": {"absent": ["no mass"], "present": ["mass", "a mass"]},
        "grade": {"0": ["one"], "1": ["two"], "2": ["three"]},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"mass": ', "--prompts is no JSON"),
        ('{"mass": [["no mass"]]}', "fewer than two classes"),
        ('{"ma#ss": [["no mass"], ["mass"]]}', "cannot name a task"),
        ('{"mass": {"$x": ["no mass"], "y": ["mass"]}}', "cannot name a task"),
        ("somewhere.json", "no prompts"),
    ],
)
def test_what_is_no_prompt_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        asked_prompts(text)


@pytest.fixture
def stored(tmp_path):
    checkpoint = tmp_path / "best.pt"
    checkpoint.write_bytes(b"pretraining")
    vectors = {"mass": F.normalize(torch.randn(2, 8), dim=-1), "grade": F.normalize(torch.randn(3, 8), dim=-1)}
    network = ZeroShotClassifier(ImageTextModel(SwinEncoder(size="micro"), None, 8, bias=-10.0), vectors)
    asked = {"mass": {"absent": ["no mass"], "present": ["mass"]}, "grade": {str(k): [str(k)] for k in range(3)}}
    ZeroShotWeights(tmp_path, classifier=network, prompts=asked, checkpoint=checkpoint).write()
    return tmp_path / "zero_shot.pt", network.eval(), asked


def test_stored_weights_fill_a_blank_classifier(stored):
    path, network, asked = stored
    about = read_asked(path)
    assert about["prompts"] == asked
    assert about["temperature"] == pytest.approx(0.07)
    blank = blank_zero_shot(ImageTextModel(SwinEncoder(size="micro"), None, 8, bias=-10.0), asked, 8).eval()
    image = torch.rand(2, 2, 64, 32)
    assert not torch.allclose(blank(image), network(image))
    torch.testing.assert_close(load_network(blank, path)(image), network(image))


def test_sentences_of_other_weights_are_refused(stored):
    path, *_ = stored
    path.write_bytes(b"other")
    with pytest.raises(ValueError, match=r"zero_shot\.json is not of"):
        read_asked(path)
    asked = path.with_name("zero_shot.json")
    asked.write_text(json.dumps({"prompts": {}}))
    with pytest.raises(ValueError, match="temperature or hashes are missing"):
        read_asked(path)
    asked.unlink()
    with pytest.raises(ValueError, match="mammo zero_shot writes both"):
        read_asked(path)
