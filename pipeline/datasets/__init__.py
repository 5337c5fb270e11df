"""Public datasets as records, leak-proof splits, lesion crops, and prepared images that are decoded once."""

from .adapters import ADAPTERS, Adapter, cbis_ddsm, cdd_cesm, mini_mias
from .audit import AuditFinding, AuditReport, audit
from .background_patches import background_patches
from .breast_pairs import BreastPairs, breast_id, group_breasts, report_texts
from .combine import combine
from .folds import cross_validation
from .frames import count_frames, expand_frames
from .import_report import ImportReport
from .labels import PRESETS, Task, encode_labels, require_two_classes, resolve_tasks, task_sizes
from .lesion_boxes import LesionBoxesd
from .lesion_classes import LESION_CLASSES, lesion_class
from .lesion_crops import lesion_crops, random_crops
from .located_records import LocatedRecords
from .prepare import Preparation, prepare_dataset, prepare_images
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
from .splits import label_fraction, patient_strata, split_patients, split_records
from .store import Prepared, PreparedDataset
from .summary import summarise

__all__ = [
    "ADAPTERS",
    "LESION_CLASSES",
    "PRESETS",
    "Adapter",
    "AuditFinding",
    "AuditReport",
    "BreastPairs",
    "Datalist",
    "Finding",
    "ImportReport",
    "LesionBoxesd",
    "LocatedRecords",
    "Preparation",
    "Prepared",
    "PreparedDataset",
    "Quarantined",
    "Record",
    "RunRecords",
    "ScanResult",
    "SchemaError",
    "Task",
    "all_records",
    "audit",
    "background_patches",
    "breast_id",
    "cbis_ddsm",
    "cdd_cesm",
    "check_datalist",
    "check_leaks",
    "combine",
    "count_frames",
    "cross_validation",
    "datalist_sha256",
    "encode_labels",
    "expand_frames",
    "group_breasts",
    "label_fraction",
    "lesion_class",
    "lesion_crops",
    "load_datalist",
    "mini_mias",
    "patient_strata",
    "prepare_dataset",
    "prepare_images",
    "random_crops",
    "report_texts",
    "require_two_classes",
    "resolve_tasks",
    "save_datalist",
    "save_quarantine",
    "scan",
    "split_patients",
    "split_records",
    "summarise",
    "task_sizes",
]
