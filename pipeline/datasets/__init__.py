"""Public datasets as records, leak-proof splits, and prepared images that are decoded once."""

from .adapters import ADAPTERS, Adapter
from .cbis_ddsm import cbis_ddsm
from .cdd_cesm import cdd_cesm
from .import_report import ImportReport
from .labels import PRESETS, Task, encode_labels, require_two_classes, resolve_tasks, task_sizes
from .mini_mias import mini_mias
from .prepare import prepare_dataset
from .records import (
    Datalist,
    Finding,
    Record,
    SchemaError,
    all_records,
    check_datalist,
    check_leaks,
    datalist_sha256,
    load_datalist,
    save_datalist,
)
from .run_records import RunRecords
from .scan import Quarantined, ScanResult, save_quarantine, scan
from .splits import label_fraction, patient_strata, split_patients
from .store import PreparedDataset

__all__ = [
    "ADAPTERS",
    "PRESETS",
    "Adapter",
    "Datalist",
    "Finding",
    "ImportReport",
    "PreparedDataset",
    "Quarantined",
    "Record",
    "RunRecords",
    "ScanResult",
    "SchemaError",
    "Task",
    "all_records",
    "cbis_ddsm",
    "cdd_cesm",
    "check_datalist",
    "check_leaks",
    "datalist_sha256",
    "encode_labels",
    "label_fraction",
    "load_datalist",
    "mini_mias",
    "patient_strata",
    "prepare_dataset",
    "require_two_classes",
    "resolve_tasks",
    "save_datalist",
    "save_quarantine",
    "scan",
    "split_patients",
    "task_sizes",
]
