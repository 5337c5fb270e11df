"""A localisation bundle marks, in plain MONAI, exactly the pixels of the regions that a hospital's result tells."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
import yaml
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.hospital.decode import here
from mammo.pipeline.hospital.loading import load_model
from mammo.pipeline.hospital.study import StudyEngine
from mammo.pipeline.packaging.export import export_bundle
from mammo.pipeline.packaging.label_steps import SeriesFiled
from mammo.pipeline.packaging.localisation import export_localisation
from mammo.pipeline.packaging.verify import check_bundle, verify_bundle
from mammo.pipeline.phantom import write_study
from mammo.transforms import MammogramError
from monai.bundle import ConfigParser

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

OPTIONS = {"size": "micro", "tasks": ["pathology"], "pooling": "mask", "tokens": "all", "image_size": [160, 96]}
VIEWS = [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    """An exported classifier of random weights: what it says is arbitrary, where it looks is not."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)  # not every seed looks anywhere: a map may be 0 throughout
    network = MammogramClassifier(SwinEncoder(size="micro"))
    torch.nn.init.normal_(network.head.weight)
    (folder / "checkpoints").mkdir()
    checkpoint = folder / "checkpoints" / "best.pt"
    torch.save(network.state_dict(), checkpoint)
    named = {"bundle_root": "$str(bundles.bundle_root('swin_mim'))"}
    (folder / "config.yaml").write_text(yaml.safe_dump(named | OPTIONS))
    out = folder / "breast_classification"
    licences = {"weights_licence": "CC-BY-4.0", "data_licence": "CC0-1.0"}
    return export_bundle(checkpoint, out, forms=["torchscript"], **licences)


@pytest.fixture(scope="module")
def bundle(classifier) -> Path:
    return export_localisation(classifier, classifier.with_name("breast_segmentation"))


@pytest.fixture(scope="module")
def exam(tmp_path_factory) -> dict[tuple[str, str], Path]:
    folder = tmp_path_factory.mktemp("exam")
    written = write_study(folder, index=1, seed=77, preset="demo")
    return {(view.laterality[0], view.view): path for path, view in written}


@pytest.fixture(scope="module")
def told(classifier, exam):
    """Regions of each view as the hospital's engine tells them, in rows and columns as stored."""
    model = load_model(classifier)
    result = StudyEngine(model, decode=here(model.transform)).process(exam.values())
    return {(view.laterality, view.view): [region.box for region in view.regions] for view in result.views}


def marked(bundle: Path, image: Path) -> np.ndarray:
    """The mask ``(1, columns, rows, 1)`` as MONAI Label computes it, by MONAI alone."""
    parser = ConfigParser(json.loads((bundle / "configs" / "inference.json").read_text()))
    item = parser.get_parsed_content("preprocessing")({"image": str(image)})
    network = torch.jit.load(bundle / "models" / "model.ts").eval()
    with torch.no_grad():
        item["pred"] = parser.get_parsed_content("inferer")(item["image"][None], network)[0]
    return np.asarray(parser.get_parsed_content("postprocessing")(item)["pred"])


def drawn(boxes, shape: tuple[int, int]) -> np.ndarray:
    """Boxes as pixels, one pixel after the other: those whose centre is inside."""
    rows, columns = (np.arange(length) + 0.5 for length in shape)
    inside = [
        ((rows >= r0) & (rows < r1))[:, None] & ((columns >= c0) & (columns < c1))[None] for r0, c0, r1, c1 in boxes
    ]
    return np.any(inside, axis=0)


@pytest.mark.parametrize("view", VIEWS, ids=" ".join)
def test_the_mask_is_the_regions_that_a_result_tells(view, bundle, exam, told):
    header = pydicom.dcmread(exam[view], stop_before_pixels=True)
    stored = header.Rows, header.Columns
    mask = marked(bundle, exam[view])
    assert mask.shape == (1, stored[1], stored[0], 1)
    assert 1 <= len(told[view]) <= 3
    expected = drawn(told[view], stored)
    assert 0 < expected.mean() < 0.5
    np.testing.assert_array_equal(mask[0, :, :, 0].T, expected)


def test_a_series_is_the_folder_of_its_image(bundle, exam, tmp_path):
    path = exam["R", "MLO"]
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.2.3.dcm").write_bytes(path.read_bytes())
    np.testing.assert_array_equal(marked(bundle, tmp_path / "series"), marked(bundle, path))


def test_a_series_of_several_images_has_no_one_mask(exam, tmp_path):
    for name, path in enumerate(exam.values()):
        (tmp_path / f"{name}.dcm").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="holds 4 files"):
        SeriesFiled("image")({"image": str(tmp_path)})


def test_an_empty_series_is_an_error_of_the_file(tmp_path):
    with pytest.raises(MammogramError, match="empty"):
        SeriesFiled("image")({"image": str(tmp_path)})


def test_the_network_is_the_classifiers_to_the_byte(bundle, classifier):
    names = ["models/model.ts"]
    assert [(bundle / name).read_bytes() for name in names] == [(classifier / name).read_bytes() for name in names]
    assert verify_bundle(bundle) == {}


def test_monai_label_finds_what_it_asks_for(bundle):
    about, configuration = check_bundle(bundle)
    data = about["network_data_format"]
    assert list(data["inputs"]) == ["image"]
    assert list(data["outputs"]) == ["pred"]
    assert data["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "selected region"}
    assert len(data["inputs"]["image"]["spatial_shape"]) == 2
    assert about["eval_metrics"] == {}
    assert set(configuration) >= {"preprocessing", "inferer", "postprocessing"}
    assert not (bundle / "models" / "model.pt").exists()


@pytest.mark.parametrize("name", ["breast", "breast_classification", "detection_segmentation"])
def test_names_by_which_monai_label_would_guess_another_task_are_refused(name, classifier, tmp_path):
    with pytest.raises(ValueError, match="takes the task from the name"):
        export_localisation(classifier, tmp_path / name)


def test_a_bundle_without_torchscript_cannot_be_localised(classifier, tmp_path):
    import shutil

    copy = Path(shutil.copytree(classifier, tmp_path / "breast_classification"))
    (copy / "models" / "model.ts").unlink()
    path = copy / "configs" / "metadata.json"
    about = json.loads(path.read_text())
    del about["files"]["models/model.ts"]
    path.write_text(json.dumps(about))
    with pytest.raises(ValueError, match="--forms torchscript"):
        export_localisation(copy, tmp_path / "breast_segmentation")
    assert not (tmp_path / "breast_segmentation").exists()
