"""The phantoms that bundles fall back on where no dataset is named."""

import pandas as pd
import pytest
from mammo.bundles import bundle_root
from mammo.pipeline.datasets import load_datalist
from mammo.pipeline.embedded import embedded_lesions, embedded_reports
from monai.bundle import ConfigParser

STAGES = {
    "miram": ("pretrain", "pretrain_moco", "pretrain_dino", "finetune", "evaluate", "explain"),
    "mammo_clip": (
        "pretrain",
        "zero_shot",
        "retrieval",
        "linear_probe",
        "finetune",
        "detect",
        "factor_train",
        "explain",
    ),
}


def test_every_lesion_of_the_phantom_is_a_record_and_is_made_once(tmp_path):
    root = embedded_lesions(tmp_path / "lesions", patients=6)
    listed = load_datalist(root / "lesions.json")
    records = [record for section in ("training", "validation", "test") for record in listed[section]]
    truth = pd.read_csv(root / "truth.csv")
    assert len(records) == len(truth) == 12  # two views of each; breasts without a lesion are not drawn
    assert all("crop" in record for record in records)
    written = (root / "lesions.json").stat().st_mtime_ns
    assert embedded_lesions(tmp_path / "lesions", patients=6) == root
    assert (root / "lesions.json").stat().st_mtime_ns == written


@pytest.mark.parametrize("bundle", STAGES)
def test_the_small_overlay_names_keys_of_the_stages_only(bundle):
    configs = bundle_root(bundle) / "configs"
    overlay = set(ConfigParser.load_config_file(configs / "tiny.yaml"))
    known = set().union(*(ConfigParser.load_config_file(configs / f"{stage}.yaml") for stage in STAGES[bundle]))
    assert overlay <= known


def test_every_breast_of_the_phantom_has_a_report(tmp_path):
    listed = load_datalist(embedded_reports(tmp_path / "reports", patients=6) / "datalist.json")
    records = [record for section in ("training", "validation", "test") for record in listed[section]]
    assert len(records) == 6 * 2 * 2
    assert all(record["report"] for record in records)
