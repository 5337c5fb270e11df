"""From a dataset's folder to a datalist and prepared images, with a table of everything that was not used."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import cpu_count, parallel_config

from ...transforms import PrepareMammogramd
from ..files import sweep
from .adapters import ADAPTERS
from .records import Datalist, all_records, check_leaks, datalist_sha256, save_datalist
from .scan import ScanResult, save_quarantine, scan
from .summary import summarise

__all__ = ["Preparation", "prepare_dataset", "prepare_images"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preparation:
    """How images are prepared, and on what. The first four are the bundles' ``image_size``, ``resize``, ``background``
    and ``margin_px``: a run with the same values and ``--cache_dir`` at the store decodes nothing again.

    Attributes:
        image_size: rows and columns.
        resize: see :class:`~mammo.transforms.ResizeMode`.
        background: see :class:`~mammo.transforms.prepare.Background`.
        margin_px: original pixels kept around the breast.
        gate: policy of the input gate, see :class:`~mammo.pipeline.gate.GatePolicy`.
        workers: processes; None for one a core.
        dask: address of a Dask scheduler, whose workers then do the work; ``"local"`` starts one here.
        timeout_s: seconds that one image may take.
        force_recompute: prepare also what the store holds already.
    """

    image_size: tuple[int, int] = (224, 224)
    resize: str = "pad"
    background: str = "keep"
    margin_px: int = 8
    gate: str = "training"
    workers: int | None = None
    dask: str | None = None
    timeout_s: float = 300.0
    force_recompute: bool = False

    def transform(self) -> PrepareMammogramd:
        """The step that is kept: that of the bundles."""
        return PrepareMammogramd(
            keys="image",
            spatial_size=self.image_size,
            mode=self.resize,
            background=self.background,
            margin_px=self.margin_px,
        )


def prepare_dataset(dataset: str, root: str | Path, out: str | Path, **options: Any) -> Datalist:
    """List a dataset, split it by patient and write the datalist, and ``*.problems.csv`` beside it.

    Args:
        dataset: name of one of :data:`ADAPTERS`.
        root: the dataset's folder as downloaded.
        out: the datalist (JSON) to write; its paths are relative to ``root``.
        **options: of the adapter (``seed``, ``split``, ...); None leaves the adapter's default.

    Raises:
        ValueError: for an unknown dataset or option, a folder that is not this dataset's, or a leak that is
            not declared.
    """
    if dataset not in ADAPTERS:
        raise ValueError(f"unknown dataset {dataset!r}; known are {', '.join(ADAPTERS)}")
    given = {name: value for name, value in options.items() if value is not None}
    known = list(inspect.signature(ADAPTERS[dataset]).parameters)[1:]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"{dataset} has no option {unknown[0]!r}; it has {', '.join(known)}")
    for name, value in given.items():
        _check_number(name, value, str(inspect.signature(ADAPTERS[dataset]).parameters[name].annotation))
    datalist, report = ADAPTERS[dataset](root, **given)
    check_leaks(datalist)
    out = save_datalist(datalist, out, keep_root=True)
    logger.info(report.summary())
    logger.info(summarise(datalist))
    problems = report.save(out.with_suffix(".problems.csv"))
    logger.info("%s (sha256 %s), problems in %s", out, datalist_sha256(datalist)[:16], problems.name)
    return datalist


def _check_number(name: str, value: Any, annotation: str) -> None:
    """Refuse words and, for an int, fractions where an adapter takes a number."""
    wanted = {"float": "a number", "int": "a whole number"}.get(annotation)
    kinds = (int, float) if annotation == "float" else int
    if wanted and (isinstance(value, bool) or not isinstance(value, kinds)):
        raise ValueError(f"--{name} takes {wanted}, and not {value!r}")


def prepare_images(datalist: Datalist, store: str | Path, how: Preparation, out: str | Path) -> ScanResult:
    """Prepare every image of a datalist into a store, and write what cannot be used to ``*.quarantine.csv``.

    Killed at any moment, it leaves whole entries, and goes on from there when started again; the store is the same in
    the end. Several processes and machines may fill one store at a time.

    Args:
        datalist: with absolute paths or URLs.
        store: the folder; several datasets may share it.
        how: sizes, gate and workers.
        out: the datalist's file, beside which the quarantine is written.
    """
    store = Path(store).absolute()  # workers of a cluster have folders of their own
    swept = sweep(store) if Path(store).is_dir() else 0
    if swept:
        logger.info("%d unfinished files of a killed run deleted", swept)
    records = [record for _, record in all_records(datalist)]
    with _cluster(how) as workers:
        result = scan(
            records,
            [how.transform()],
            store,
            workers,
            policy=how.gate,
            force_recompute=how.force_recompute,
            progress=True,
            processes=True,
            timeout_s=how.timeout_s,
        )
    logger.info(result.summary())
    quarantine = save_quarantine(result.quarantine, Path(out).with_suffix(".quarantine.csv"))
    logger.info("prepared images in %s; set aside: %d, in %s", store, len(result.quarantine), quarantine.name)
    return result


@contextmanager
def _cluster(how: Preparation) -> Iterator[int]:
    """Where joblib works inside the block, and how many images at a time."""
    if how.dask is None:
        yield how.workers or cpu_count()
        return
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ValueError("--dask needs dask: pip install 'mammo[scale]'") from error
    logging.getLogger("distributed").setLevel(logging.ERROR)  # else it tells of every worker that comes and goes
    local = {"n_workers": how.workers or cpu_count(), "threads_per_worker": 1}
    with Client(**local) if how.dask == "local" else Client(how.dask) as client, parallel_config(backend="dask"):
        logger.info("on the Dask cluster %s", client.scheduler.address)
        yield max(2, sum(client.nthreads().values()))  # joblib would not ask a cluster for one
