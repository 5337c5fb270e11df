"""What all faults share: a place to work, data, undisturbed twins to compare with, and the count of what was lost."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mammo.pipeline.datasets.prepare import prepare_dataset
from mammo.pipeline.phantom import generate, write_study

from .processes import Run, mammo, succeeded

__all__ = ["Ground", "Tally", "files_of"]

PATIENTS = 24
IMAGE_SIZE = (64, 32)
"""Rows and columns: what is prepared is what the trainings read."""


@dataclass
class Tally:
    """One row of the table.

    Attributes:
        case: what is done.
        promise: what must hold afterwards.
        tried: how often it was done.
        lost: what did not hold, a text for each time.
    """

    case: str
    promise: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)

    def add(self, wrong: Sequence[str], times: int = 1) -> None:
        """Count one try, or several that are judged together, with what was wrong."""
        self.tried += times
        self.lost += ["; ".join(wrong)] * times if wrong else []

    @property
    def survived(self) -> int:
        """Tries of which nothing was lost."""
        return self.tried - len(self.lost)


@dataclass
class Ground:
    """Where a campaign takes place.

    Attributes:
        folder: scratch, empty at first.
        seed: of every random choice, with the name of the case.
        quick: the small size.
    """

    folder: Path
    seed: int = 0
    quick: bool = False
    _runs: int = 0

    def size(self, quick: int, full: int) -> int:
        """How much of something in this size."""
        return quick if self.quick else full

    def draw(self, case: str) -> random.Random:
        """The random numbers of a case, whatever else is run."""
        return random.Random(f"{self.seed} {case}")

    def new(self, name: str) -> Path:
        """A folder that is not there yet, with its parent."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def mammo(self, *words: object) -> Run:
        """Start ``mammo WORDS``."""
        return mammo([str(word) for word in words], self.log(str(words[0])))

    def log(self, name: str) -> Path:
        """A new file for what a run says."""
        self._runs += 1
        return self.folder / "logs" / f"{self._runs:05d}-{name}.txt"

    @cached_property
    def phantom(self) -> Path:
        """A dataset with its datalist."""
        root = self.new("phantom")
        generate(root, patients=PATIENTS, seed=self.seed, preset="demo", views="CC")
        prepare_dataset("cbis_ddsm", root, root / "datalist.json", validation_fraction=0.3)
        return root

    def prepare(self, store: Path, workers: int = 1) -> Run:
        """Fill a store with the phantom's images."""
        listed = self.phantom / "datalist.json"
        size = ["--image_size", *IMAGE_SIZE]
        return self.mammo("prepare", "datalist", listed, "--store", store, "--workers", workers, *size)

    def finetune(self, run: Path, *options: object, resume: bool = False) -> Run:
        """Train a small classifier into a run folder."""
        return self.mammo("finetune", "--output_dir", run, "--resume", resume, *self.training, *options)

    def process(self, out: Path, exam: Path | None = None) -> Run:
        """Process a study with the classifier."""
        return self.mammo("process", exam or self.exam, out, "--checkpoint", self.weights)

    def write_report(self, folder: Path) -> Run:
        """Write the page of the classifier's training."""
        listed = self.phantom / "datalist.json"
        return self.mammo(
            "report", "--classifier", f"c={self.classifier}", "--datalist", listed, "--out", folder / "report.html"
        )

    @cached_property
    def training(self) -> list[object]:
        """Options of a small training on the phantom, its images prepared once."""
        return [
            "--dataset_dir", self.phantom, "--cache_dir", self.store, "--size", "micro",
            "--image_size", str(list(IMAGE_SIZE)), "--batch_size", 2, "--num_workers", 0, "--device", "cpu",
            "--pretrained", "null", "--max_epochs", 2,
        ]  # fmt: skip

    @cached_property
    def store(self) -> Path:
        """All images prepared, undisturbed."""
        return self._done(self.new("twins/store"), self.prepare)

    @cached_property
    def classifier(self) -> Path:
        """The run folder of an undisturbed training."""
        return self._done(self.new("twins/finetune"), self.finetune)

    @property
    def weights(self) -> Path:
        """The classifier's checkpoint."""
        return self.classifier / "checkpoints" / "best.pt"

    @cached_property
    def exam(self) -> Path:
        """A study of four views."""
        write_study(self.new("exam"), index=1, seed=77, preset="demo")
        return self.new("exam")

    @cached_property
    def results(self) -> Path:
        """What `mammo process` writes of the study, undisturbed."""
        return self._done(self.new("twins/results"), self.process)

    @cached_property
    def report(self) -> Path:
        """The page of the classifier's training, undisturbed."""
        return self._done(self.new("twins/report"), self.write_report) / "report.html"

    def _done(self, folder: Path, start: Callable[[Path], Run]) -> Path:
        run = start(folder)
        if wrong := succeeded(run):
            raise RuntimeError(f"the undisturbed {folder.name} failed, so that there is nothing to compare: {wrong}")
        return folder


def files_of(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder, unfinished ones included, by its name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
