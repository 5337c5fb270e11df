"""The result as a Mammography CAD SR (PS3.16 TID 4000), for workstations that show marks of CAD."""

from __future__ import annotations

from collections import defaultdict

from highdicom import SOPClass
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MammographyCADSRStorage

from ..naming import MANUFACTURER
from .cad_content import cad_content
from .common import ObjectContext
from .finishing import finish

__all__ = ["cad_report"]

KIND = "cad"


def cad_report(context: ObjectContext) -> list[Dataset]:
    """One report, however the study ended: CAD has codes for failed and for not attempted.

    highdicom has no class for it. The tree is checked against the templates by no tool that runs in a test; it was
    made by their tables and looked at with PixelMed's DicomSRValidator.
    """
    first = next(iter(context.headers.values()))
    ds = SOPClass(
        study_instance_uid=first.StudyInstanceUID,
        sop_class_uid=MammographyCADSRStorage,
        modality="SR",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **context.place(KIND),
    )
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.PerformedProcedureCodeSequence = []
    ds.CompletionFlag = "COMPLETE" if len(context.scored) == len(context.result.views) else "PARTIAL"
    ds.VerificationFlag = "UNVERIFIED"
    ds.CurrentRequestedProcedureEvidenceSequence = [_evidence(context)]
    ds.ContributingEquipmentSequence = context.contributing
    ds.update(cad_content(context))
    return [finish(ds, context, "CAD report")]


def _evidence(context: ObjectContext) -> Dataset:
    """The images by series (PS3.3 C.17.2.1)."""
    by_series: dict[str, list[Dataset]] = defaultdict(list)
    for source in context.headers.values():
        reference = Dataset()
        reference.ReferencedSOPClassUID = source.SOPClassUID
        reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
        by_series[source.SeriesInstanceUID].append(reference)
    study = Dataset()
    study.StudyInstanceUID = next(iter(context.headers.values())).StudyInstanceUID
    study.ReferencedSeriesSequence = []
    for uid, references in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedSOPSequence = uid, references
        study.ReferencedSeriesSequence.append(series)
    return study
