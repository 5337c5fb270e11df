"""Plain MONAI, `mammo process`, TorchScript and ONNX Runtime: one bundle, one answer. Of the real images of an exam,
where `bundle verify` takes random ones. The Deploy application joins in `make deploy-check`, by the same code."""

import importlib.util
import sys
from pathlib import Path

import pytest
from mammo.pipeline.packaging.names import TOLERANCE

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FILE = Path(__file__).parents[3] / "examples" / "monai_deploy" / "parity.py"


@pytest.fixture(scope="module")
def parity():
    """The example's own code, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("monai_deploy_parity", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def columns(parity, tmp_path_factory):
    root = tmp_path_factory.mktemp("parity")
    bundle = parity.write_bundle(root, parity.write_exam(root / "exam"))
    return {name: form(bundle, root / "exam") for name, form in parity.FORMS.items()}


def test_every_form_of_a_bundle_gives_the_same_probabilities(parity, columns):
    assert len(columns) == 4
    assert len(columns["plain MONAI"]) == 4
    assert parity.widest(columns) <= TOLERANCE


def test_images_that_were_mixed_up_would_be_seen(parity, columns):
    reference = columns["plain MONAI"]
    assert parity.spread(reference) > 10 * TOLERANCE
    turned = dict(zip(reference, [*list(reference.values())[1:], next(iter(reference.values()))], strict=True))
    assert parity.widest({"reference": reference, "turned": turned}) > TOLERANCE


def test_a_form_that_left_an_image_out_is_an_error(parity, columns):
    reference = columns["plain MONAI"]
    with pytest.raises(ValueError, match="short scored"):
        parity.widest({"reference": reference, "short": dict(list(reference.items())[1:])})
