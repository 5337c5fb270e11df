"""The four classes of lesions of CBIS-DDSM, counted over its true tables."""

from collections import Counter
from pathlib import Path

import pytest
from mammo.pipeline.datasets import ImportReport, encode_labels
from mammo.pipeline.datasets.adapters.cbis_tables import TABLES, read_case_tables
from mammo.pipeline.datasets.lesion_classes import LESION_CLASSES, lesion_class
from mammo.pipeline.datasets.lesion_crops import lesion_crops

# The counts that MIRAM's readers compute from the official tables (arXiv:2503.07157).
TRAINING = dict(zip(LESION_CLASSES, (681, 637, 1002, 544), strict=True))
TEST = dict(zip(LESION_CLASSES, (231, 147, 197, 129), strict=True))


@pytest.fixture(scope="module")
def films(real_data: Path) -> dict:
    """One record per mammogram in its official part, every finding with an invented box."""
    rows = read_case_tables({name: real_data / "cbis_ddsm" / "csv" / name for name in TABLES}, ImportReport("CBIS"))
    records: dict[str, dict] = {}
    for row in rows:
        name = row.name
        record = records.setdefault(
            name.image_id,
            {"image": f"/{name.image_id}.dcm", "patient_id": name.patient_id, "image_id": name.image_id,
             "dataset": "cbis_ddsm", "split": "training" if name.part == "Training" else "test", "findings": []},
        )  # fmt: skip
        record["findings"].append({**row.finding(), "box": [0.0, 0.0, 40.0, 40.0]})
    parts = {part: [r for r in records.values() if r["split"] == part] for part in ("training", "test")}
    return {"name": "CBIS-DDSM", "root": "/", **parts}


@pytest.mark.parametrize(("part", "expected"), [("training", TRAINING), ("test", TEST)])
def test_classes_have_the_official_counts(films, part, expected):
    crops, report = lesion_crops(films)
    assert Counter(map(lesion_class, crops[part])) == expected
    assert report.counts["crops"] == 2864 + 704
    assert report.problems == []


def test_masses_are_the_rows_of_the_mass_tables(films):
    crops, _ = lesion_crops(films, types=["mass"])
    assert (len(crops["training"]), len(crops["test"])) == (1318, 378)
    assert crops["training"][0]["image_id"] == "Mass-Training_P_00001_LEFT_CC#1"


def test_margins_are_many_labels_at_once(films):
    crops, _ = lesion_crops(films, types=["mass"])
    told = encode_labels([crop for crop in crops["test"] if "margins" in crop], ["margins"])
    assert (len(told), sum(sum(record["label"]) > 1 for record in told)) == (361, 29)
    # Those with two margins count for both: the authors' evaluation took them for neither (92, 87, 82, 21, 50).
    assert [sum(of_one) for of_one in zip(*(record["label"] for record in told), strict=True)] == [114, 103, 89, 27, 65]
