"""The wheel: every package is named in setup.cfg, and an installed wheel works without the checkout."""

import configparser
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("transforms", "networks", "pipeline", "bundles")


def test_setup_cfg_names_every_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    folders = {path.parent for room in ROOMS for path in (ROOT / room).rglob("__init__.py")}
    assert listed == {"mammo"} | {".".join(["mammo", *folder.relative_to(ROOT).parts]) for folder in folders}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source") / "tree"
    # From a copy, so that the checkout keeps no build folder.
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith((".typing", "tests/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        out,
        source,
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_bundles_and_nothing_of_the_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "mammo/bundles/swin_mim/configs/inference.json" in names
    assert "mammo/bundles/swin_mim/LICENSE" in names
    assert "mammo/pipeline/report/report.html" in names
    assert not [name for name in names if "test" in name.split("/")[1]]


def test_a_bundle_is_found_in_an_installed_wheel(wheel, tmp_path):
    # Heavy dependencies come from this environment; mammo itself only from the wheel.
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    folder = next(home.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (folder / "libraries.pth").write_text("\n".join(libraries))
    code = "import mammo, mammo.bundles; print(mammo.__file__); print(mammo.bundles.bundle_root('swin_mim'))"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    answer = subprocess.run(
        [home / "bin/python", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(str(folder) in line for line in answer.stdout.splitlines())
