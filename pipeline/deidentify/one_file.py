"""One file: from what a hospital has to the bytes that may leave it."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset

from ...transforms.dicom_file import MAMMOGRAPHY_MODALITIES, check_header, open_dicom
from ...transforms.errors import MammogramError
from ..files import write_atomically
from .checks import check_same_picture, read_whole
from .frames import write_pixels
from .header import Identity, read_identity, rebuild_header
from .pseudonyms import Pseudonyms
from .refusal import Refusal, SetAsideError
from .rules import Context

__all__ = ["IDENTITY_COLUMNS", "Outcome", "Settings", "export_file", "quiet_parser"]

IDENTITY_COLUMNS = (
    "patient_id",
    "patient_pseudonym",
    "days_moved_back",
    "accession_number",
    "accession_pseudonym",
    "study_uid",
    "study_uid_pseudonym",
    "image_uid",
    "image_uid_pseudonym",
)
"""Columns of the crosswalk: what was found, and what stands for it."""


@dataclass(frozen=True)
class Settings:
    """What :func:`~.export.deidentify` was asked for, as far as one file needs it; see there."""

    out: Path
    pseudonyms: Pseudonyms
    refuse_burned_in: bool
    shift_dates: bool
    looks_burned_in: Callable[[Path], bool] | None
    known_devices: frozenset[str]
    max_pixels: int
    with_identity: bool


@dataclass
class Outcome:
    """What became of one file.

    Attributes:
        source: the file.
        output: the exported file, below the output folder; None where it was set aside.
        is_new: False where the output was there already.
        reason: why the file was set aside; empty where it was not.
        message: the same in words, without any text of the file.
        withheld: values that were left out because no rule allows them, by keyword.
        comments: comments that were taken out of compressed frames.
        burned_in: whether text is burned in; None where the header is silent and nobody looked.
        identity: what the pseudonyms stand for, by column of the crosswalk; empty unless asked for.
    """

    source: Path
    output: Path | None = None
    is_new: bool = False
    reason: str = ""
    message: str = ""
    withheld: Counter[str] = field(default_factory=Counter)
    comments: int = 0
    burned_in: bool | None = None
    identity: dict[str, str] = field(default_factory=dict)


def export_file(source: Path, settings: Settings) -> Outcome:
    """Write the de-identified copy of a file, or say why there is none.

    Raises:
        OSError: if the copy cannot be written (full disk, no permission).
    """
    outcome = Outcome(source)
    try:
        with quiet_parser():
            content = _prepare(source, settings, outcome)
    except (SetAsideError, MammogramError) as error:
        # The reader's messages may quote values of the header; its reason says enough.
        told = error.message if isinstance(error, SetAsideError) else "the reader of mammograms refuses this file"
        return Outcome(source, reason=error.reason, message=told)
    except OSError as error:
        return Outcome(source, reason=str(Refusal.UNREADABLE), message=f"cannot be read: {error.strerror}")
    except Exception as error:  # a hostile file can make any step raise; its words may be the file's
        return Outcome(source, reason=str(Refusal.UNDECODABLE), message=f"cannot be parsed ({type(error).__name__})")
    if content is not None and outcome.output is not None:
        write_atomically(settings.out / outcome.output, content)
        outcome.is_new = True
    return outcome


@contextmanager
def quiet_parser() -> Iterator[None]:
    """Keep pydicom's warnings from terminals and logs: they quote the values that they warn of."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.disabled = True
        try:
            yield
        finally:
            logger.disabled = before


def _prepare(source: Path, settings: Settings, outcome: Outcome) -> bytes | None:
    """Fill in ``outcome`` and return the bytes to write; None where they are there already."""
    header = open_dicom(source, settings.max_pixels)
    check_header(header, source, settings.max_pixels, MAMMOGRAPHY_MODALITIES)
    identity = read_identity(header)
    pseudonyms = settings.pseudonyms
    patient = identity.pseudonym(pseudonyms)
    outcome.output = Path(patient, pseudonyms.file(_sha256(source)))
    if settings.with_identity:
        outcome.identity = _identity_row(identity, patient, pseudonyms)
    earlier = read_whole(settings.out / outcome.output, settings.max_pixels)
    if earlier is not None:
        outcome.burned_in = {"YES": True, "NO": False}.get(earlier.get("BurnedInAnnotation"))
        return None
    outcome.burned_in = _burned_in(header, source, settings)
    context = Context(pseudonyms, pseudonyms.days(patient) if settings.shift_dates else None, settings.known_devices)
    result = rebuild_header(header, identity, context, burned_in=outcome.burned_in)
    outcome.comments = write_pixels(header, source, result)
    outcome.withheld = context.withheld
    content = _encode(result)
    check_same_picture(header, dcmread(BytesIO(content)), context)
    return content


def _burned_in(header: Dataset, source: Path, settings: Settings) -> bool | None:
    """Whether the file says, or looks as if, text is burned in; None where neither header nor pixels tell.

    Raises:
        SetAsideError: ``burned_in`` where such files are refused, ``burned_in_check_failed``.
    """
    declared, looked = str(header.get("BurnedInAnnotation", "")).strip().upper(), False
    if settings.looks_burned_in is not None:
        try:
            looked = bool(settings.looks_burned_in(source))
        except Exception as error:  # a check of the user's may raise anything; without an answer nothing is exported
            message = f"the check for burned-in text failed ({type(error).__name__})"
            raise SetAsideError(Refusal.BURNED_IN_CHECK_FAILED, message) from error
    if settings.refuse_burned_in and (declared == "YES" or looked):
        whose = "Burned In Annotation (0028,0301) is YES" if declared == "YES" else "text seems to be burned in"
        raise SetAsideError(Refusal.BURNED_IN, f"{whose}; look at the picture, then export with burned_in='warn'")
    if declared == "YES" or looked:
        return True
    return False if declared == "NO" or settings.looks_burned_in is not None else None


def _encode(result: Dataset) -> bytes:
    result.preamble = bytes(128)
    buffer = BytesIO()
    dcmwrite(buffer, result, enforce_file_format=True)
    return buffer.getvalue()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _identity_row(identity: Identity, patient: str, pseudonyms: Pseudonyms) -> dict[str, str]:
    number = identity.accession_number
    values = (
        identity.patient_id,
        patient,
        str(pseudonyms.days(patient)),
        number,
        pseudonyms.accession(number) if number else "",
        identity.study_uid,
        pseudonyms.uid(identity.study_uid),
        identity.image_uid,
        pseudonyms.uid(identity.image_uid),
    )
    return dict(zip(IDENTITY_COLUMNS, values, strict=True))
