"""Image-text pretraining and zero-shot on a tiny phantom with its reports."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mammo.networks import encoder_state
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.cli import main
from mammo.pipeline.datasets import load_datalist, save_datalist
from mammo.pipeline.terminal import user_error
from mammo.pipeline.text import load_tokenizer

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def small(image_text_options) -> dict:
    return image_text_options() | {"vocabulary": 300}


@pytest.fixture(scope="module")
def pretrained(small, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("clip") / "pretrain"
    more = {"output_dir": str(out), "max_epochs": 2, "learning_rate": 1e-3}
    run_bundle("mammo_clip", "pretrain", overrides=small | more)
    return out


def test_pretraining_leaves_weights_words_and_the_terms_of_its_loss(pretrained):
    history = json.loads((pretrained / "history.json").read_text())
    terms = ("image_to_text", "text_to_image", "image_to_image", "text_to_text")
    for row in history["train"]:
        assert row["loss"] == pytest.approx(sum(row[name] for name in terms), rel=1e-5)
    assert np.isfinite(history["validation"][0]["contrastive"])
    words = load_tokenizer(pretrained / "tokenizer.json")
    assert words.tokenizer.token_to_id("mass") is not None
    weights = torch.load(pretrained / "checkpoints/best.pt", weights_only=True)
    assert weights["text_encoder.model.embeddings.word_embeddings.weight"].shape[0] == words.vocabulary_size


def test_without_its_extra_it_says_so_before_images_are_prepared(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    more = {"output_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "cache")}
    with pytest.raises(RuntimeError) as told:
        run_bundle("mammo_clip", "pretrain", overrides=small | more)
    assert "pip install 'mammo[clip]'" in str(user_error(told.value))
    assert not (tmp_path / "cache").exists()


def test_fewer_breasts_than_a_batch_still_train(small, tmp_path):
    more = {"output_dir": str(tmp_path), "max_epochs": 1, "epoch_length": 2, "batch_size": 4096}
    run_bundle("mammo_clip", "pretrain", overrides=small | more)
    (row,) = json.loads((tmp_path / "history.json").read_text())["train"]
    assert row["iteration"] == 2
    assert row["loss"] > 0


def test_an_epoch_without_a_step_is_an_error_and_no_record(small, tmp_path):
    more = {
        "output_dir": str(tmp_path / "run"),
        "max_epochs": 1,
        "batch_size": 4096,
        "train::dataloader::drop_last": True,
    }
    with pytest.raises(RuntimeError) as told:
        run_bundle("mammo_clip", "pretrain", overrides=small | more)
    assert "give a smaller --batch_size" in str(user_error(told.value))
    assert not (tmp_path / "run/history.json").exists()


def test_the_image_encoder_starts_a_classifier_of_another_bundle(small, pretrained, tmp_path):
    start = pretrained / "checkpoints/best.pt"
    own = {
        key: value
        for key, value in small.items()
        if key not in ("encoder", "embed_dim", "vocabulary") and not key.startswith("text_")
    }
    more = {"pretrained": str(start), "output_dir": str(tmp_path), "max_epochs": 1, "learning_rate": 0.0}
    run_bundle("swin_mim", "finetune", overrides=own | more | {"tasks": ["malignant_vs_rest"]})
    before, after = encoder_state(start), encoder_state(tmp_path / "checkpoints/best.pt")
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.rpartition(".")[2] for name in changed} <= {"running_mean", "running_var", "num_batches_tracked"}


def test_labels_alone_pretrain(small, tmp_path):
    listed = load_datalist(Path(small["dataset_dir"]) / "datalist.json")
    sections = {
        name: [
            {key: value for key, value in record.items() if key not in ("report", "texts")} for record in listed[name]
        ]
        for name in ("training", "validation", "test")
    }
    path = save_datalist(listed | sections, tmp_path / "labels.json", keep_root=True)
    more = {"datalist": str(path), "output_dir": str(tmp_path / "out"), "max_epochs": 1}
    run_bundle("mammo_clip", "pretrain", overrides=small | more | {"text_source": "labels"})
    words = load_tokenizer(tmp_path / "out/tokenizer.json").tokenizer
    assert all(words.token_to_id(word) is not None for word in ("mass", "calcifications", "dominant"))
    with pytest.raises(RuntimeError) as caught:
        run_bundle("mammo_clip", "pretrain", overrides=small | more | {"output_dir": str(tmp_path / "none")})
    assert "none of" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "more",
    [
        {"objective": "clip", "text_source": "both"},
        {"objective": "siglip", "chunk": 2},
        {"encoder": "vit", "pooling": "mask", "projection": "mlp", "sentence_sampling": 0.5},
        {"encoder": "efficientnet", "size": "b0", "batch_size": 2},
    ],
    ids=lambda more: next(iter(more.values())),
)
def test_other_losses_and_encoders_train(more, small, tmp_path):
    more = more | {"output_dir": str(tmp_path), "max_epochs": 1, "epoch_length": 1}
    run_bundle("mammo_clip", "pretrain", overrides=small | more)
    assert np.isfinite(json.loads((tmp_path / "history.json").read_text())["train"][0]["loss"])


def test_a_run_that_is_resumed_ends_as_one_that_was_not(small, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    long = small | {"max_epochs": 2, "learning_rate": 1e-3, "rotate": 0.3}
    run_bundle("mammo_clip", "pretrain", overrides=long | {"output_dir": str(whole)})
    stopped = {"output_dir": str(halves), "train::trainer::max_epochs": 1}
    run_bundle("mammo_clip", "pretrain", overrides=long | stopped)
    run_bundle("mammo_clip", "pretrain", overrides=long | {"output_dir": str(halves), "resume": True})
    first, second = (torch.load(run / "checkpoints/last.pt", weights_only=True)["model"] for run in (whole, halves))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_findings_are_scored_by_sentences_alone(small, pretrained, tmp_path):
    more = {"checkpoint": str(pretrained / "checkpoints/best.pt"), "output_dir": str(tmp_path), "bootstrap_draws": 20}
    known = {key: value for key, value in small.items() if key != "vocabulary"}  # of the tokenizer that is there
    words = [word for key, value in (known | more).items() for word in (f"--{key}", str(value))]
    assert main(["zero_shot", *words]) == 0
    table = pd.read_csv(tmp_path / "predictions.csv")
    test = table[table["split"] == "test"]
    truth = pd.read_csv(Path(small["dataset_dir"]) / "truth.csv").query("split == 'test'")
    assert len(test) == len(truth)
    assert (test["label_finding_mass"] == 1).sum() == (
        truth["abnormality"].eq("mass") & truth["pathology"].notna()
    ).sum()
    assert test["probability_finding_mass"].between(0, 1).all()
    assert set(json.loads((tmp_path / "metrics.json").read_text())["labels"]) == {
        "finding_mass",
        "finding_calcification",
    }
