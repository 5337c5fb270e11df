"""Rows of papers on made-up data in the true layouts: what is missing is told, and a wrong split is refused."""

from dataclasses import replace

import pytest
from mammo.pipeline.cli import main
from mammo.pipeline.phantom import generate, write_report_tables, write_vindr_layout
from mammo.pipeline.reproduce.catalogue import find_row
from mammo.pipeline.reproduce.data import find_folder, list_data
from mammo.pipeline.reproduce.frozen import freeze, save_split
from mammo.pipeline.reproduce.weights import missing_weights


@pytest.fixture(scope="module")
def breasts(tmp_path_factory):
    """A phantom with both breasts."""
    root = tmp_path_factory.mktemp("breasts") / "phantom"
    generate(root, patients=4, seed=5, preset="reports", test_fraction=0.5, pixel_mm=1.6)
    return root


def refused(capsys, *arguments):
    assert main(["reproduce", *map(str, arguments)]) == 1
    return capsys.readouterr().err


def test_data_and_weights_that_are_not_there_are_told_at_once(tmp_path, capsys):
    text = refused(capsys, "mammoclip-b2-vindr-zeroshot", "--output_dir", tmp_path / "out")
    for word in ("--data", "PhysioNet", "data use agreement", "breast-level_annotations.csv", "--weights"):
        assert word in text
    assert "b2-model-best-epoch-10.tar" in text
    assert "shawn24/Mammo-CLIP" in text
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_told_with_the_layout(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    text = refused(capsys, "miram-random-cbis", "--data", tmp_path / "data", "--output_dir", tmp_path / "out")
    assert "mass_case_description_train_set.csv" in text
    assert "10.7937/K9/TCIA.2016.7O02S9CY" in text


def test_each_of_several_datasets_has_a_folder_of_its_name(tmp_path, capsys):
    (tmp_path / "cbis_ddsm").mkdir()
    text = refused(capsys, "miram-mae-lesions", "--data", tmp_path, "--output_dir", tmp_path / "out")
    assert "CBIS-DDSM is needed" not in text
    assert all(f"{tmp_path / name} is not a folder" in text for name in ("inbreast", "bcdr", "csaw_s"))


def test_another_data_set_in_the_layout_of_cbis_is_refused(phantom, tmp_path, capsys):
    text = refused(capsys, "miram-random-cbis", "--data", phantom, "--output_dir", tmp_path)
    assert "test: 645" not in text
    assert "the frozen split has 645" in text
    assert "do not belong there" in text
    assert "cbis_ddsm.problems.csv" in text
    assert not (tmp_path / "runs").exists()


def test_another_data_set_in_the_layout_of_vindr_is_refused(breasts, tmp_path):
    data = write_vindr_layout(breasts, tmp_path / "vindr")
    with pytest.raises(ValueError, match="2 patients, and the frozen split has 1000") as error:
        list_data(find_row("mammoclip-b2-vindr-probe"), data, tmp_path / "out")
    assert "images of class 1 of finding_mass, and the frozen split has 219" in str(error.value)


def test_another_data_set_in_the_layout_of_rsna_is_refused(breasts, tmp_path):
    tables = write_report_tables(breasts, tmp_path / "rsna", png_shape=(64, 32))
    folder = tables["rsna"].parent
    (folder / "images_png").rename(folder / "train_images")
    with pytest.raises(ValueError, match="the frozen split has 13682"):
        list_data(find_row("mammoclip-b5-rsna-probe"), folder, tmp_path / "out")


def test_data_sets_for_pretraining_alone_are_never_tested(phantom, breasts, tmp_path):
    """The lists of a row of several data sets: the other one is all training, and in its own list."""
    row = find_row("miram-mae-lesions")
    data = tmp_path / "data"
    data.mkdir()
    (data / "cbis_ddsm").symlink_to(phantom)
    (data / "phantom").symlink_to(breasts)
    row = replace(row, data=[row.data[0], replace(row.data[1], dataset="phantom")], crops=None, folder=tmp_path)
    row = replace(row, split=replace(row.split, file="own.json"))
    from mammo.pipeline.datasets import cbis_ddsm, load_datalist

    listed, _ = cbis_ddsm(phantom, split="official", validation_fraction=0.3)
    save_split(freeze(listed, name="own", rule="r"), tmp_path / "own.json")
    lists = list_data(row, data, tmp_path / "out")
    main_list, larger = load_datalist(lists.main, lists.root), load_datalist(lists.pretraining, lists.root)
    assert {one["dataset"] for one in main_list["training"]} == {"cbis_ddsm"}
    assert len(larger["training"]) == len(main_list["training"]) + 16
    assert len(larger["test"]) == len(main_list["test"])
    assert find_folder(data, row.data[1], row) == data / "phantom"


def test_weights_are_found_in_a_folder_below(tmp_path):
    row = find_row("mammoclip-b2-vindr-probe")
    assert "b2-model-best-epoch-10.tar" in missing_weights(row, tmp_path)[0]
    (tmp_path / "Pre-trained-checkpoints").mkdir()
    (tmp_path / "Pre-trained-checkpoints" / "b2-model-best-epoch-10.tar").touch()
    assert missing_weights(row, tmp_path) == []
