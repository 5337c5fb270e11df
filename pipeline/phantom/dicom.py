"""Write synthetic images as DICOM: full images as Digital Mammography X-Ray, crops and masks as CBIS-DDSM has them."""

import io
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from ..files import write_atomically
from .version import PHANTOM_VERSION
from .views import View

BITS_STORED = 12
WHITE = 2**BITS_STORED - 1
TRANSFER_SYNTAXES = {"explicit": ExplicitVRLittleEndian, "rle": RLELossless, "jpeg2000": JPEG2000Lossless}

_VIEW_CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
_ORIENTATION = {
    ("LEFT", "CC"): ["A", "R"],
    ("RIGHT", "CC"): ["P", "L"],
    ("LEFT", "MLO"): ["A", "FR"],
    ("RIGHT", "MLO"): ["P", "FL"],
}
_DETECTORS = {"digital": "SCINTILLATOR", "enhanced": "DIRECT", "film": "FILM"}


@dataclass(frozen=True)
class Address:
    """Where an image belongs: the identifiers of its patient, study, series and the date of the study."""

    patient_id: str
    study_uid: str
    series_uid: str
    image_uid: str
    description: str
    date: str
    number: int = 1
    patient_name: str = ""
    """Patient's Name (0010,0010); the ID where empty."""


def uid(*parts: object) -> str:
    """A valid UID that is the same whenever ``parts`` are (DICOM PS3.5 B.2, derived from a name-based UUID)."""
    name = "/".join(["mammo.phantom", PHANTOM_VERSION, *map(str, parts)])
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


def stored_values(view: View) -> NDArray[np.uint16]:
    """The view's 12-bit values as they are stored, inverted for MONOCHROME1."""
    values = np.rint(view.image * WHITE).astype(np.uint16)
    return WHITE - values if view.case.monochrome1 else values


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _general(ds: Dataset, address: Address) -> None:
    """Patient, study, series and equipment: what every image of ours has."""
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPInstanceUID, ds.SeriesInstanceUID = address.image_uid, address.series_uid
    ds.StudyInstanceUID = address.study_uid
    ds.PatientID, ds.PatientName = address.patient_id, address.patient_name or address.patient_id
    ds.PatientBirthDate, ds.PatientSex = "", "F"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = address.date
    ds.StudyTime = ds.ContentTime = ds.AcquisitionTime = "120000"
    ds.StudyID = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.SeriesNumber, ds.InstanceNumber = 1, address.number
    ds.SeriesDescription = address.description
    ds.Modality, ds.BodyPartExamined = "MG", "BREAST"
    ds.Manufacturer, ds.SoftwareVersions = "mammo phantom", PHANTOM_VERSION


def _pixels(ds: Dataset, values: NDArray[np.uint16] | NDArray[np.uint8], bits: int) -> None:
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, 0
    ds.Rows, ds.Columns = values.shape
    ds.BitsAllocated = values.dtype.itemsize * 8
    ds.BitsStored, ds.HighBit = bits, bits - 1
    little_endian = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    data = little_endian.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)


def _save(ds: Dataset, path: Path, syntax: str = "explicit") -> None:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if syntax != "explicit":
        # Named, since GDCM's encoder of RLE, which pydicom would take first, ends the process at some sizes.
        ds.compress(TRANSFER_SYNTAXES[syntax], encoding_plugin="pylibjpeg", generate_instance_uid=False)
    encoded = io.BytesIO()
    ds.save_as(encoded, enforce_file_format=True)
    write_atomically(path, encoded.getvalue())  # which says what to do about a full disk, as pydicom does not


def write_view(view: View, address: Address, path: Path) -> None:
    """Write a whole image as Digital Mammography X-Ray Image, For Presentation."""
    ds = Dataset()
    ds.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    _general(ds, address)
    _acquisition(ds, view)
    ds.PhotometricInterpretation = "MONOCHROME1" if view.case.monochrome1 else "MONOCHROME2"
    ds.PresentationLUTShape = "INVERSE" if view.case.monochrome1 else "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.BurnedInAnnotation, ds.LossyImageCompression = "YES", "00"
    _pixels(ds, stored_values(view), BITS_STORED)
    _save(ds, path, view.case.transfer_syntax)


def _acquisition(ds: Dataset, view: View) -> None:
    """The DX and mammography modules (PS3.3 A.27)."""
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageType = ["ORIGINAL" if view.case.device == "digital" else "DERIVED", "PRIMARY", ""]
    ds.PatientOrientation = _ORIENTATION[view.laterality, view.view]
    ds.ImageLaterality, ds.ViewPosition = view.laterality[0], view.view
    code = _code(_VIEW_CODES[view.view][0], "SCT", _VIEW_CODES[view.view][1])
    code.ViewModifierCodeSequence = Sequence()
    ds.ViewCodeSequence = Sequence([code])
    ds.AnatomicRegionSequence = Sequence([_code("76752008", "SCT", "Breast")])
    ds.OrganExposed, ds.PositionerType, ds.BreastImplantPresent = "BREAST", "MAMMOGRAPHIC", "NO"
    ds.ImagerPixelSpacing = [view.pixel_mm, view.pixel_mm]
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1 if view.case.monochrome1 else -1
    ds.DetectorType = _DETECTORS[view.case.device]
    ds.ManufacturerModelName = view.case.device
    ds.FieldOfViewShape = "RECTANGLE"
    ds.AcquisitionContextSequence = Sequence()


def write_capture(values: NDArray[np.uint16] | NDArray[np.uint8], bits: int, address: Address, path: Path) -> None:
    """Write a cropped image or a mask as Secondary Capture of modality MG, uncompressed, as CBIS-DDSM does."""
    ds = Dataset()
    ds.SOPClassUID = SecondaryCaptureImageStorage
    _general(ds, address)
    ds.ConversionType, ds.PatientOrientation, ds.Laterality = "WSD", [], address.patient_id.split("_")[3][0]
    ds.PhotometricInterpretation = "MONOCHROME2"
    _pixels(ds, values, bits)
    _save(ds, path)
