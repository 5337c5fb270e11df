"""The frozen splits of CBIS-DDSM are those of its four true tables; the images are empty files in true folders."""

import csv
import shutil
from pathlib import Path

import pytest
from mammo.pipeline.datasets import cbis_ddsm
from mammo.pipeline.datasets.adapters.cbis_tables import TABLES
from mammo.pipeline.reproduce.catalogue import find_row
from mammo.pipeline.reproduce.frozen import check_split, load_split


@pytest.fixture(scope="module")
def download(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All whole mammograms as empty files, in folders of UIDs."""
    root = tmp_path_factory.mktemp("cbis")
    for name in TABLES:
        path = real_data / "cbis_ddsm" / "csv" / name
        shutil.copy(path, root)
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                patient, study, series, _ = row["image file path"].strip().split("/")
                folder = root / patient / study / series
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "1-1.dcm").touch()
    return root


@pytest.mark.parametrize("name", ["miram-random-cbis", "swin-breast-aware-cbis"])
def test_the_true_tables_give_the_frozen_split(name, download):
    row = find_row(name)
    datalist, _ = cbis_ddsm(download, **row.data[0].options)
    assert check_split(load_split(row.split_file), datalist) == []
