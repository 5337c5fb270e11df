"""The header of an exported file, made anew from what the allow-list takes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID

from ... import __version__
from ...transforms.sop_classes import IMAGE_CLASSES
from .dates import age_at, capped_age, parse_date
from .profile import PROFILE, PROFILE_VERSION, code
from .pseudonyms import Pseudonyms
from .refusal import Refusal, SetAsideError
from .rules import Context, add_element, copy_allowed
from .views import describe_typed, write_kind, write_view

__all__ = ["IMPLEMENTATION_CLASS_UID", "Identity", "read_identity", "rebuild_header"]

IMPLEMENTATION_CLASS_UID = "2.25.226102836453864061742882632953908543707"
"""Implementation Class UID (0002,0012) of this exporter; drawn once."""

_EMPTY = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "Manufacturer",
    "ReferringPhysicianName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "SeriesNumber",
    "InstanceNumber",
)
"""Elements of type 2 in the Patient, Study, Series, Equipment and Image modules: empty where nothing is kept."""


@dataclass(frozen=True)
class Identity:
    """Whose image a file is, as the file says it. Never printed; only a crosswalk that is asked for holds it."""

    patient_id: str
    study_uid: str
    image_uid: str
    accession_number: str

    def pseudonym(self, pseudonyms: Pseudonyms) -> str:
        """The patient's new ID; without Patient ID each study is a patient of its own."""
        if self.patient_id:
            return pseudonyms.patient(self.patient_id)
        return pseudonyms.patient_of_study(self.study_uid)


def read_identity(source: Dataset) -> Identity:
    """The identifiers that say what belongs together.

    Raises:
        SetAsideError: ``no_identifier`` where a UID is missing or one of them is not text.
    """
    uids = {keyword: _identifier(source, keyword) for keyword in ("StudyInstanceUID", "SOPInstanceUID")}
    uids["SeriesInstanceUID"] = _identifier(source, "SeriesInstanceUID")
    missing = [keyword for keyword, uid in uids.items() if not uid]
    if missing:
        message = f"no {', '.join(missing)}: what belongs together could not be kept together"
        raise SetAsideError(Refusal.NO_IDENTIFIER, message)
    return Identity(
        patient_id=_identifier(source, "PatientID"),
        study_uid=uids["StudyInstanceUID"],
        image_uid=uids["SOPInstanceUID"],
        accession_number=_identifier(source, "AccessionNumber"),
    )


def rebuild_header(source: Dataset, identity: Identity, context: Context, *, burned_in: bool | None) -> Dataset:
    """All of an exported file but its pixels; the Transfer Syntax UID is left to whoever adds them.

    Args:
        source: the file as parsed, which the reader of mammograms takes.
        identity: of the same file.
        context: of the same file; elements that are withheld are counted in it.
        burned_in: whether text is burned into the pixels; None where nobody has looked.

    Raises:
        SetAsideError: ``unknown_object`` or ``unknown_view``.
    """
    result = copy_allowed(source, PROFILE, context)
    if result.get("SOPClassUID") not in IMAGE_CLASSES:
        message = "SOP Class UID (0008,0016) is not one in which mammograms are stored"
        raise SetAsideError(Refusal.UNKNOWN_OBJECT, message)
    pseudonym = identity.pseudonym(context.pseudonyms)
    result.PatientID = result.PatientName = pseudonym
    if identity.accession_number:
        result.AccessionNumber = context.pseudonyms.accession(identity.accession_number)
    _fill_age(source, result)
    described = describe_typed(source, context)
    write_view(described, result)
    write_kind(described, result)
    for keyword in _EMPTY:
        if keyword not in result:
            add_element(result, keyword, [])
    _say_what_was_done(result, dates_kept=context.days is not None, burned_in=burned_in)
    result.file_meta = _file_meta(result)
    return result


def _identifier(source: Dataset, keyword: str) -> str:
    try:
        value: Any = source.get(keyword)
    except Exception as error:  # a hostile value can make the parser raise anything
        raise _not_text(keyword) from error
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _not_text(keyword)
    return value.strip("\0 ")


def _not_text(keyword: str) -> SetAsideError:
    return SetAsideError(Refusal.NO_IDENTIFIER, f"{keyword} is not one text; expected an identifier")


def _fill_age(source: Dataset, result: Dataset) -> None:
    """Patient's Age from birth date and study date, where the file does not have it."""
    if result.get("PatientAge"):
        return
    days = [source.get(keyword) for keyword in ("StudyDate", "PatientBirthDate")]
    if all(isinstance(day, str) and day for day in days):
        with suppress(ValueError):  # one of them is not a date: the age stays unknown
            result.PatientAge = capped_age(age_at(*(parse_date(str(day)) for day in days)))


def _say_what_was_done(result: Dataset, *, dates_kept: bool, burned_in: bool | None) -> None:
    """The de-identification attributes of PS3.3 C.7.1.1, with the codes of CID 7050 that apply."""
    dates = "dates moved back, the same for a patient" if dates_kept else "dates removed"
    result.DeidentificationMethod = [f"mammo allow-list profile {PROFILE_VERSION}", dates, "pixels as they were"]
    result.LongitudinalTemporalInformationModified = "MODIFIED" if dates_kept else "REMOVED"
    if burned_in is not None:
        result.BurnedInAnnotation = "YES" if burned_in else "NO"
    # The attribute speaks of the pixels too: with text in them nobody can say that the identity is removed.
    result.PatientIdentityRemoved = "NO" if burned_in else "YES"
    if not burned_in:
        add_element(result, "DeidentificationMethodCodeSequence", [code(method) for method in _methods(dates_kept)])


def _methods(dates_kept: bool) -> list[Code]:
    methods = codes.cid7050
    found = [methods.BasicApplicationConfidentialityProfile, methods.RetainPatientCharacteristicsOption]
    if dates_kept:
        found.append(methods.RetainLongitudinalTemporalInformationModifiedDatesOption)
    return found


def _file_meta(result: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = result.SOPClassUID
    meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = f"MAMMO {__version__}"[:16]
    return meta
