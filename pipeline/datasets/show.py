"""What a store of prepared images holds: counts, sizes and damage as text, and a sheet of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .entry import DamagedEntryError, read_entry, read_facts

__all__ = ["contact_sheet", "entries", "show_store"]

FACTS = ("mask_quality", "laterality", "view", "presentation_intent", "photometric", "voi", "manufacturer")
"""Facts that are counted, as far as the files told them."""


def entries(store: str | Path) -> list[Path]:
    """The entries of a store, each once, in the order of their names.

    Raises:
        ValueError: for a folder that is no store.
    """
    folder = Path(store, "contents")
    if not folder.is_dir():
        raise ValueError(f"{store} is no store of prepared images; make one with `mammo prepare ... --store {store}`")
    return sorted(folder.glob("*/*.safetensors"))


def show_store(store: str | Path) -> tuple[str, list[Path]]:
    """Read and verify every entry of a store.

    Returns:
        A text for a terminal, and the damaged entries, which the next preparing makes anew.

    Raises:
        ValueError: for a folder that is no store.
    """
    paths = entries(store)
    damaged: list[Path] = []
    facts = list(_verified(paths, damaged))
    size = sum(path.stat().st_size for path in paths)
    lines = [f"{store}: {len(paths)} prepared images, {size / 1e6:.1f} MB, {len(damaged)} damaged"]
    lines += [f"  damaged: {path}" for path in damaged[:20]]
    shapes = Counter(" x ".join(map(str, fact["shapes"]["image"])) for fact in facts if "image" in fact["shapes"])
    for name, counts in [("image", shapes), *((name, Counter(str(f.get(name, "-")) for f in facts)) for name in FACTS)]:
        listed = ", ".join(f"{value}: {count}" for value, count in counts.most_common(8))
        lines.append(f"  {name:20} {listed}")
    return "\n".join(lines), damaged


def contact_sheet(store: str | Path, path: str | Path, count: int = 24) -> Path:
    """Draw some entries, evenly spread over the store, with the rim of their breast masks.

    Args:
        store: the folder.
        path: PNG file to write.
        count: at most so many pictures.

    Raises:
        ValueError: for a folder that is no store, or an empty one.
    """
    from matplotlib.figure import Figure  # heavy, and only wanted here

    paths = entries(store)
    if not paths:
        raise ValueError(f"{store} holds no prepared image")
    chosen = [paths[n] for n in np.unique(np.linspace(0, len(paths) - 1, count).astype(int))]
    columns = min(8, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(2 * columns, 2.3 * rows), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for panel in panels:
        panel.set_axis_off()
    for panel, entry in zip(panels, chosen, strict=False):
        item, facts = read_entry(entry)
        panel.imshow(item["image"][0].numpy(), cmap="gray", vmin=0, vmax=1)
        if item["mask"].any():
            panel.contour(item["mask"][0].numpy(), levels=[0.5], colors="tab:orange", linewidths=0.8)
        known = [str(item.get(name) or facts.get(name) or "?") for name in ("laterality", "view", "mask_quality")]
        panel.set_title(" ".join(known), fontsize=7)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return Path(path)


def _verified(paths: Sequence[Path], damaged: list[Path]) -> Iterator[dict[str, Any]]:
    for path in tqdm(paths, "verifying", unit="image", disable=None, leave=False):
        try:
            yield read_facts(path, verify=True)
        except DamagedEntryError:
            damaged.append(path)
