"""What a configuration that came from elsewhere may build: the components of our own, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ...bundles import bundle_names, bundle_root
from ..evidence.run_files import read_json
from ..run_options import is_evaluated
from .names import STEPS

__all__ = ["check_targets", "known_targets"]


@cache
def known_targets() -> frozenset[str]:
    """Every ``_target_`` of the inference configurations that this package ships, and of those it makes of them."""
    files = [path for name in bundle_names() for path in (bundle_root(name) / "configs").glob("inference*.json")]
    shipped = {part["_target_"] for path in files for _, part in _parts(read_json(path)) if "_target_" in part}
    return frozenset(shipped | set(STEPS))


def check_targets(configuration: Any, where: Path) -> None:
    """Refuse a configuration that could run anything but these components.

    MONAI evaluates what begins with ``$``, puts in place of ``%FILE::ID`` what another file says, and takes for a
    ``_target_`` any callable that a dotted name leads to: also ``monai.utils.misc.os.system``.

    Raises:
        ValueError: the first such value.
    """
    for key, part in _parts(configuration):
        for name, value in part.items():
            if isinstance(value, str) and is_evaluated(value):
                raise ValueError(f"{where}: {key}{name} is {value!r}; a bundle that travels has no expression or macro")
        if "_target_" in part and str(part["_target_"]) not in known_targets():
            raise ValueError(
                f"{where}: {key}_target_ is {part['_target_']!r}, which no bundle of this package builds; export it "
                "again with this version if it is yours"
            )
        if "_mode_" in part:  # "debug" would wait at a prompt
            raise ValueError(f"{where}: {key}_mode_ is {part['_mode_']!r}; a bundle that travels has none")


def _parts(value: Any, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All nested mappings with where they stand; a list counts as one from its indices to its items."""
    if isinstance(value, (list, tuple)):
        value = {str(number): item for number, item in enumerate(value)}
    if isinstance(value, Mapping):
        yield key, value
        for name, part in value.items():
            yield from _parts(part, f"{key}{name}::")
