"""The release check's own parts, on tiny inputs, and the version numbers of this checkout."""

import json
import shutil
from pathlib import Path

import pytest
from mammo.tools.release.archives import foreign, missing
from mammo.tools.release.bounds import declared, lower_bounds, pinned
from mammo.tools.release.licences import Package, copyleft, families, table, walk
from mammo.tools.release.versions import bundle_faults, package_faults
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def test_versions_of_package_and_bundles_agree_with_the_pins():
    assert package_faults(ROOT) == []
    assert bundle_faults(ROOT) == []


@pytest.fixture
def tree(tmp_path) -> Path:
    """A checkout of one bundle, with its pins."""
    configs = tmp_path / "bundles/swin_mim/configs"
    configs.mkdir(parents=True)
    shutil.copy(ROOT / "bundles/swin_mim/configs/metadata.json", configs)
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("monai_version", "1.5.0", "monai==1.6.1"),
        ("required_packages_version", {"pydicom": "2.4.4"}, "pydicom"),
        ("version", "0.2.0", "changelog"),
        ("version", "0.2", "of the form 1.2.3"),
    ],
)
def test_a_bundle_that_says_something_else_is_named(tree, key, value, named):
    file = tree / "bundles/swin_mim/configs/metadata.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    (fault,) = bundle_faults(tree)
    assert fault.startswith("bundles/swin_mim/configs/metadata.json")
    assert named in fault


def test_every_requirement_of_a_user_has_a_lower_bound_that_the_pins_obey():
    groups, pins = declared(ROOT / "setup.cfg"), pinned(ROOT / "constraints.txt")
    users = [one for group, ones in groups.items() if group != "dev" for one in ones]
    assert len(lower_bounds(users, {})) == len(users)
    assert [one.name for one in users if one.name.lower() in pins and pins[one.name.lower()] not in one.specifier] == []


def test_lower_bounds_become_constraints_and_a_marker_stays():
    wanted = [Requirement("numpy>=2.0,<3"), Requirement("torch>=2.5"), Requirement("a>=1 ; python_version < '3.12'")]
    lines = [Requirement(line) for line in lower_bounds(wanted, {"torch": "2.13.0"})]
    assert [str(one.specifier) for one in lines] == ["==2.0", "==2.13.0", "==1"]
    assert str(lines[2].marker) == 'python_version < "3.12"'


def test_a_requirement_without_a_lower_bound_is_refused():
    with pytest.raises(ValueError, match="onnx has no lower bound"):
        lower_bounds([Requirement("onnx<2")], {})


def test_one_pin_holds_for_a_python():
    older, newer = (pinned(ROOT / "constraints.txt", python) for python in ("3.10", "3.11"))
    assert Version(older["numpy"]) < Version(newer["numpy"])


def test_the_metadata_name_the_pins_of_one_python():
    assert pinned(ROOT / "constraints.txt", "3.13")["monai"] == pinned(ROOT / "constraints.txt")["monai"]


@pytest.mark.parametrize(
    "name", ["tests/test_a.py", "mammo/data/a.json", ".venv/bin/x", "mammo/a.dcm", "mammo/pipeline/weights.safetensors"]
)
def test_what_does_not_belong_in_an_archive_is_found(name):
    assert foreign(["mammo/__init__.py", "mammo/pipeline/datasets/prepare.py", name]) == [name]


def test_what_an_archive_lacks_is_named(tmp_path):
    for name in ("bundles/one/configs/train.yaml", "pipeline/report/page.html"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    held = ["mammo/__init__.py", "mammo/bundles/one/configs/train.yaml", "mammo-1.dist-info/licenses/LICENSE"]
    assert missing(held, tmp_path, sdist=False) == ["pipeline/report/page.html", "py.typed"]
    assert "LICENSE" in missing(held[:2], tmp_path, sdist=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GNU Affero General Public License v3", {"AGPL"}),
        ("LGPL-2.1-or-later", {"LGPL"}),
        ("GNU Lesser General Public License v3 (LGPLv3)", {"LGPL"}),
        ("GPL-3.0-only", {"GPL"}),
        ("GNU General Public License v2 (GPLv2)", {"GPL"}),
        ("MIT OR Apache-2.0", set()),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", {"GPL"}),
    ],
)
def test_the_families_of_a_licence_are_told_apart(text, expected):
    assert families(text) == expected


@pytest.fixture
def packages(tmp_path) -> Path:
    """Site-packages in which mammo needs ``a``, which needs ``b``, and extra ``clip`` needs ``c``."""
    needs = {"mammo": ["a", "c; extra == 'clip'"], "a": ["b", "gone; python_version < '3'"], "b": [], "c": ["b"]}
    for name, words in needs.items():
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        lines = [
            "Metadata-Version: 2.4",
            f"Name: {name}",
            "Version: 1.0",
            f"License-Expression: {'MIT' if name != 'c' else 'GPL-3.0-only'}",
        ]
        (folder / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {one}" for one in words), "", ""]))
        (folder / "RECORD").touch()
    return tmp_path


def test_a_dependency_stands_in_the_group_that_brings_it(packages):
    groups = walk(packages)
    assert {group: list(ones) for group, ones in groups.items() if ones} == {"core": ["a", "b"], "clip": ["c"]}
    assert copyleft(groups["core"].values()) == {}
    assert copyleft(groups["clip"].values()) == {"GPL": ["c"]}


def test_the_table_names_every_package_once_and_what_wheels_bring_along():
    text = table({"core": {"a": Package("a", "1.0", "MIT", ("LGPL",))}, "clip": {"b": Package("b", "2", "BSD")}})
    assert text.count("| a | 1.0 | MIT |") == text.count("| b | 2 | BSD |") == 1
    assert "- a: LGPL" in text
