"""What a user reads of an error."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest
from mammo.pipeline.terminal import EXTRAS, duration, user_error

KILLED = """
import os, signal
from mammo.pipeline.terminal import user_error
from torch.utils.data import DataLoader, Dataset

class Deadly(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index:
            os.kill(os.getpid(), signal.SIGKILL)
        return index

try:
    list(DataLoader(Deadly(), num_workers=1))
except RuntimeError as error:
    outer = RuntimeError("Failed to evaluate")
    outer.__cause__ = error
    print(user_error(outer))
"""


def test_a_loader_s_worker_that_was_killed_is_told_in_one_line_with_the_way_on():
    # In a process of its own: torch may raise once more at the next signal of any child.
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=True)
    (told,) = done.stdout.splitlines()
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


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (100, "2 min"), (3599, "60 min"), (7800, "2 h 10 min")]
)
def test_a_time_is_told_as_long_as_one_cares(seconds, words):
    assert duration(seconds) == words
