"""Score any mammograms: every file that was given gets a row, with a probability or with a reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ignite.engine import Events
from monai.engines import Workflow
from monai.utils import ensure_tuple

from .datasets import Record, scan
from .gate import Outcome
from .handlers import write_table

logger = logging.getLogger(__name__)

SUFFIXES = {"", ".dcm", ".dicom", ".png", ".pgm", ".tif", ".tiff", ".jpg", ".jpeg", ".nii", ".gz"}
"""File names that a search of a folder takes for images; DICOM files often have no suffix."""


class InferenceImages(Sequence[Record]):
    """The usable images among files and folders; the others are kept in ``quarantine`` with their reasons.

    Args:
        paths: a file or folder, or several; folders are searched.
        transform: deterministic transforms that prepare an image.
        cache_dir: keeps prepared images; None keeps nothing.
        workers: images prepared at a time.
        gate: policy of the input gate: training, deploy or all.

    Attributes:
        warnings: the gate's reasons of each usable image, by path.

    Raises:
        ValueError: if there is no image at all.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        transform: Callable[..., Any] | Sequence[Callable[..., Any]],
        cache_dir: str | None = None,
        workers: int = 1,
        gate: str = "training",
    ) -> None:
        files = [file for path in ensure_tuple(paths) for file in find_images(Path(path))]
        if not files:
            raise ValueError(f"no image below {', '.join(map(str, ensure_tuple(paths)))}")
        records = [
            Record(image=str(file), image_id=str(file), patient_id=str(file), dataset="inference") for file in files
        ]
        result = scan(records, transform, cache_dir, workers, policy=gate)
        because = result.gate.policy.because
        self.warnings = {row.image: because(row.verdict, Outcome.WARN)[0] for row in result.gate.rows}
        self.records, self.quarantine = result.usable, result.quarantine
        logger.info(result.summary())

    def __getitem__(self, index: Any) -> Any:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)


def find_images(path: Path) -> list[Path]:
    """The file itself, or the image files below a folder in order.

    Raises:
        FileNotFoundError: if ``path`` does not exist.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give image files or a folder of them")
    if path.is_file():
        return [path]
    found = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return sorted(file for file in found if file.suffix.lower() in SUFFIXES and file.name != "DICOMDIR")


class ScoreWriter:
    """Write one row an image: its probability, or why there is none.

    Args:
        path: the CSV file to write.
        images: the images given, usable or not.
    """

    def __init__(self, path: str | Path, *, images: InferenceImages) -> None:
        self.path = Path(path)
        self.images = images
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def add(self, engine: Workflow) -> None:
        """Add the images of one decollated batch."""
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            probability = float(output["pred"][:2].softmax(dim=0)[1])
            quality = str(item["mask_quality"])
            reason = "; ".join(self.images.warnings.get(item["image_id"], ()))
            row = {"image": item["image_id"], "status": "scored", "probability": probability, "calibrated": False}
            if quality == "empty":  # no breast: mask-weighted pooling leaves nothing but the bias of the head
                row = {"image": item["image_id"], "status": "not scored"}
            self.rows.append(row | {"mask_quality": quality, "reason": reason})

    def write(self, engine: Workflow | None = None) -> None:
        """Write the table, the images that could not be scored included."""
        refused = [
            {"image": item["image"], "status": "not scored", "reason": f"{item['reason']}: {item['message']}"}
            for item in self.images.quarantine
        ]
        columns = ["image", "status", "probability", "calibrated", "mask_quality", "reason"]
        write_table(pd.DataFrame(self.rows + refused, columns=columns).sort_values("image"), self.path)


def score(evaluator: Any, writer: ScoreWriter) -> None:
    """Run the evaluator where any image is usable, and write the table in every case."""
    if len(writer.images):
        evaluator.run()
    else:
        writer.write()
