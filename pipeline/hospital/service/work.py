"""What the worker process does: loads the model once, tests itself, and processes studies."""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .log import place_of
from .messages import Answer, Ready, Task, Trouble
from .settings import Settings

__all__ = ["StudyWork", "study_work"]

_NOTE = "the service gave this study up after several attempts"


@dataclass(frozen=True)
class StudyWork:
    """Process studies with a model.

    Attributes:
        checkpoint: of a finetune run.
        operating_points: of an evaluation; None for that in the run folder.
        gate: name of the input gate's policy.
        results: kinds of DICOM objects; None for the usual ones.
        quantile: of the map within the breast, above which is a region.
        device: where the network runs.
        threads: of torch.
        memory_mb: that processing may take beyond the loaded model, of address space.
    """

    checkpoint: Path
    operating_points: Path | None = None
    gate: str = "deploy"
    results: tuple[str, ...] | None = None
    quantile: float = 0.95
    device: str = "cpu"
    threads: int = 1
    memory_mb: int = 4096

    def __call__(self, task: Task | None) -> Answer | Ready | Trouble:
        """Process a study; of None, say whether the model is there and works."""
        try:
            engine, decode = _loaded.get(self) or self._load()
        except Exception as error:
            advice = str(error) if isinstance(error, (ValueError, OSError)) else ""
            return Trouble(type(error).__name__, place_of(error.__traceback__), advice)
        try:
            if task is not None:
                return self._process(engine, task)
            decode(Path("no file"))  # else its process would end after a minute without a call, as this one
            return Ready(self._fingerprint(engine))
        except Exception as error:  # its text may quote a header; type and place do not
            return Trouble(type(error).__name__, place_of(error.__traceback__))

    def _load(self) -> tuple[Any, Any]:
        import torch

        from ...gate import gate_policy
        from ..decode import isolated
        from ..loading import load_model
        from ..process import process_files  # noqa: F401  what is missing is to be missed now, not with a study
        from ..results import DEFAULT, check_kinds
        from ..study import StudyEngine

        check_kinds(DEFAULT if self.results is None else self.results)
        policy = gate_policy(self.gate)
        model = load_model(
            self.checkpoint, operating_points=self.operating_points, device=self.device, quantile=self.quantile
        )
        _begin()  # from here on there are patients
        torch.set_num_threads(self.threads)
        decode = isolated(model.transform)
        engine = StudyEngine(model, policy=policy, decode=decode)
        _test(engine)
        _limit_memory(self.memory_mb)
        _loaded[self] = engine, decode
        return engine, decode

    def _fingerprint(self, engine: Any) -> str:
        stamp = engine.model.stamp
        parts = [stamp.name, stamp.bundle, stamp.version, stamp.toolkit, stamp.weights_sha256, self.gate]
        parts += [f"{name}={value}" for name, value in sorted(stamp.settings.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _process(self, engine: Any, task: Task) -> Answer:
        from ..process import process_files
        from ..results import DEFAULT

        kinds: Sequence[str] = DEFAULT if self.results is None else self.results
        who: Any = engine if task.answer is None else _GivenUp(engine.model.stamp, task.answer)
        before = None if task.predecessor is None else Path(task.predecessor)
        result = process_files(task.paths, who, Path(task.folder), kinds, before, task.absent)
        codes = {code for view in result.views for code in (*view.reasons, *view.warnings)}
        return Answer(result.job, str(result.status.value), tuple(sorted(codes)))


def study_work(settings: Settings) -> StudyWork:
    """The work that a site's settings ask for."""
    return StudyWork(
        settings.checkpoint,
        operating_points=settings.operating_points,
        gate=settings.gate,
        results=None if settings.results is None else tuple(settings.results),
        quantile=settings.quantile,
        device=settings.device,
        threads=settings.threads,
        memory_mb=settings.memory_mb,
    )


_loaded: dict[StudyWork, tuple[Any, Any]] = {}


class _GivenUp:
    """In place of an engine: answers that the study failed, for each image that tells what it is."""

    def __init__(self, stamp: Any, reason: str) -> None:
        # Another stamp is another job: a later success must not have the identifiers of this answer.
        self.stamp, self.reason = replace(stamp, settings=stamp.settings | {"given_up": reason}), reason

    def process(self, paths: Iterable[str | Path], absent: Sequence[str] = ()) -> Any:
        from ..result import StudyResult, StudyStatus, ViewResult
        from .incoming import examine

        known = {path: examine(Path(path)) for path in sorted(map(str, paths))}
        views = tuple(
            ViewResult(path, about.instance, reasons=(self.reason,), messages=(_NOTE,)) for path, about in known.items()
        )
        study = {about.study for about in known.values()}.pop()
        return StudyResult(StudyStatus.FAILED, study, self.stamp, views=views, absent=tuple(absent), reason=self.reason)


def _begin() -> None:
    """Once a process: go with the service, and keep what codecs and parsers print from its log."""
    if sys.platform == "linux":
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if not os.environ.get("MAMMO_DEBUG"):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        os.close(nothing)


def _test(engine: Any) -> None:
    """A phantom's four views must come through: weights, transforms, decoding and explanation.

    Raises:
        RuntimeError: they do not.
    """
    from ...phantom.study import write_study

    with tempfile.TemporaryDirectory(prefix="mammo-self-test-") as folder:
        views = write_study(folder, preset="demo")
        result = engine.process(view.path for view in views)
    if len(result.scored()) != len(views):
        raise RuntimeError("the self test failed: not every view of a phantom was scored")


def _limit_memory(megabytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
