"""Who may import whom, kept true by reading the imports of every file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "transforms": {"transforms"},
    "networks": {"networks"},
    "pipeline": {"pipeline", "networks", "transforms", "bundles"},
    "bundles": {"bundles"},
}
LEAVES = {"report", "hospital", "deidentify"}
FRONTS = {"cli.py", "data_verbs.py", "demo.py", "published.py"}


def imported_rooms(file: Path) -> set[str]:
    """First folder of every relative or ``mammo`` import in a file."""
    package = file.relative_to(ROOT).parts[:-1]
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = (*base, *(node.module or "").split("."))
            rooms.add(target[0])
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level and node.module else []
        rooms |= {name.split(".")[1] for name in names if name.startswith("mammo.")}
    return rooms - {""}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_it_may(room):
    wrong = {
        str(file.relative_to(ROOT)): extra
        for file in (ROOT / room).rglob("*.py")
        if (extra := imported_rooms(file) - MAY_IMPORT[room])
    }
    assert wrong == {}


def test_nothing_but_the_fronts_needs_the_leaves():
    wrong = []
    for file in (ROOT / "pipeline").rglob("*.py"):
        inside = file.relative_to(ROOT / "pipeline").parts[0]
        if inside in LEAVES | FRONTS:
            continue
        text = ast.parse(file.read_text())
        modules = {node.module or "" for node in ast.walk(text) if isinstance(node, ast.ImportFrom) and node.level}
        wrong += [(file.name, name) for name in modules if name.split(".")[0] in LEAVES]
    assert wrong == []
