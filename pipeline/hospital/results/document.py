"""The result on one page of paper, as Encapsulated PDF."""

from __future__ import annotations

from highdicom import SOPClass
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from ..naming import MANUFACTURER
from .common import ObjectContext
from .document_page import draw_page
from .finishing import finish
from .report_codes import coded

__all__ = ["document"]

KIND = "pdf"
TITLE = "AI result, research use only"


def document(context: ObjectContext) -> list[Dataset]:
    """One document, however the study ended.

    Raises:
        ValueError: the result has no pictures of a scored view.
    """
    first = next(iter(context.headers.values()))
    ds = SOPClass(
        study_instance_uid=first.StudyInstanceUID,
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **context.place(KIND),
    )
    content = draw_page(context)
    ds.ConversionType = "SYN"
    ds.AcquisitionDateTime = ""  # of many images
    ds.BurnedInAnnotation = "YES"
    ds.DocumentTitle = TITLE
    ds.ConceptNameCodeSequence = [coded(codes.DCM.ImagingMeasurementReport)]
    ds.VerificationFlag = "UNVERIFIED"
    ds.SourceInstanceSequence = [_reference(source) for source in context.headers.values()]
    ds.ContributingEquipmentSequence = context.contributing
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocumentLength = len(content)
    ds.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    return [finish(ds, context, "report page")]


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return item
