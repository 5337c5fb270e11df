"""What a user reads of an error."""

import configparser
import os
import signal
from pathlib import Path

import pytest
from mammo.pipeline.terminal import EXTRAS, user_error
from torch.utils.data import DataLoader, Dataset


class Deadly(Dataset):
    """Kills the process that reads its second item."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        if index:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


def test_a_loader_s_worker_that_was_killed_is_told_in_one_line_with_the_way_on():
    with pytest.raises(RuntimeError) as raised:
        list(DataLoader(Deadly(), num_workers=1))
    outer = RuntimeError("Failed to evaluate")
    outer.__cause__ = raised.value
    told = str(user_error(outer))
    assert "\n" not in told
    assert told.startswith("DataLoader worker")
    assert "--num_workers" in told
    assert "--resume true" in told


def test_a_defect_of_ours_is_not_taken_for_the_user_s():
    assert user_error(RuntimeError("anything else")) is None


@pytest.mark.parametrize(
    ("module", "extra"), [("highdicom", "hospital"), ("pynetdicom.sop_class", "hospital"), ("transformers", "clip")]
)
def test_what_an_extra_brings_is_told_with_its_name(module, extra):
    told = user_error(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert f"pip install 'mammo[{extra}]'" in str(told)


def test_a_module_that_nothing_of_ours_brings_is_a_defect():
    assert user_error(ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere")) is None


def test_every_extra_is_one_of_the_package():
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    assert set(EXTRAS.values()) <= set(config["options.extras_require"])
