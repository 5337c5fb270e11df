"""`mammo phantom`: what strangers try every other command on."""

import pytest
from mammo.pipeline import phantom_verb
from mammo.pipeline.cli import main
from mammo.pipeline.phantom import PRESETS


@pytest.mark.parametrize(
    ("layout", "adapter"),
    [("cbis_ddsm", "phantom"), ("vindr_mammo", "vindr_mammo"), ("rsna_2022", "rsna_2022")],
)
def test_what_it_writes_is_read_by_the_adapter_of_its_layout(layout, adapter, tmp_path, capsys):
    folder = tmp_path / "archive"
    assert main(["phantom", str(folder), "--patients", "4", "--layout", layout, "--workers", "1"]) == 0
    assert "16 images of 4 patients" in capsys.readouterr().out
    assert main(["prepare", adapter, str(folder)]) == 0
    assert (folder / "datalist.json").is_file()


def test_studies_are_a_folder_an_exam(tmp_path):
    assert main(["phantom", str(tmp_path / "in"), "--patients", "2", "--layout", "studies"]) == 0
    assert sorted(p.name for p in tmp_path.glob("in/*")) == ["00000", "00001"]
    assert len(list(tmp_path.glob("in/00001/*.dcm"))) == 4


def test_nobody_is_drawn_for_no_patients(tmp_path, capsys):
    assert main(["phantom", str(tmp_path / "in"), "--patients", "0"]) == 1
    assert "--patients 0: give 1 or more" in capsys.readouterr().err


def test_every_preset_can_be_named():
    assert set(phantom_verb.PRESETS) == set(PRESETS)
