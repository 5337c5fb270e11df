"""Datalists of tomosynthesis: each volume as records of its slices, which have the label of the volume."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import cast

import ignite.distributed as idist

from .frames import expand_frames
from .records import Datalist, load_datalist, save_datalist
from .schema import SECTIONS

__all__ = ["slice_datalist", "volume_id"]

logger = logging.getLogger(__name__)

_SLICE = re.compile(r"#f\d+$")  # what expand_frames puts behind the id of the volume


def slice_datalist(volumes: str | Path, root: str | Path | None, out: str | Path, *, every: int = 1) -> str:
    """Write a datalist in which each multi-frame file is a record for every n-th of its frames.

    Records of other files, and those that choose a frame already, stay as they are. Patients stay in their sections.

    Args:
        volumes: the datalist (JSON) of the files.
        root: the folder its paths are relative to; None takes its own.
        out: the datalist to write; it tells its own root.
        every: 1 takes all slices.

    Returns:
        The path of ``out``.

    Raises:
        ValueError: for ``every`` below 1.
        MammogramError: for a file that is missing or whose header is broken.
    """
    with idist.one_rank_first():
        if idist.get_local_rank() == 0:
            listed = load_datalist(volumes, root)
            sections = {name: listed[name] for name in SECTIONS if name in listed}  # type: ignore[literal-required]
            sliced = {name: expand_frames(records, every=every) for name, records in sections.items()}
            counts = [sum(map(len, part.values())) for part in (sections, sliced)]
            logger.info("%d files become %d slices or pictures, listed in %s", *counts, out)
            save_datalist(cast(Datalist, {**listed, **sliced}), out, keep_root=True)
    return str(out)


def volume_id(image_id: str) -> str:
    """The id of the volume that a slice is of; that of any other image is its own."""
    return _SLICE.sub("", image_id)
