"""One mammogram with a name in every usual place, and ways to write and export it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mammo.pipeline.deidentify import DeidentifyReport, deidentify
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

SECRET_KEY = bytes(range(40))


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def make_mammogram() -> Dataset:
    """A complete left MLO mammogram of 16 x 12 pixels, of an invented patient."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID = "1.2.3.4", "1.2.3.5", "1.2.3.6"
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.StudyDate, ds.SeriesDate, ds.AcquisitionDate, ds.ContentDate = "20200301", "20200301", "20200229", "20200302"
    ds.StudyTime, ds.ContentTime, ds.InstanceCreationDate = "101112", "101113", "20200301"
    ds.AccessionNumber, ds.StudyID = "ACC123", "STUDY9"
    ds.Modality, ds.PresentationIntentType = "MG", "FOR PRESENTATION"
    ds.Manufacturer, ds.ManufacturerModelName = "HOLOGIC, Inc.", "Selenia Dimensions"
    ds.DeviceSerialNumber, ds.StationName, ds.InstitutionName = "SN0815", "ROOM2", "Hospital of Doe"
    ds.SeriesDescription, ds.StudyDescription, ds.ReferringPhysicianName = "L MLO Doe", "Screening Doe", "Who^Doctor"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Doe^Jane", "PAT42", "19500301", "F"
    ds.PatientAge, ds.PatientOrientation, ds.ImageLaterality, ds.ViewPosition = "070Y", ["A", "FR"], "L", "MLO"
    ds.BodyPartExamined, ds.OrganExposed, ds.PositionerType, ds.BreastImplantPresent = "BREAST", "BREAST", "NONE", "NO"
    ds.PositionerType, ds.DetectorType, ds.FieldOfViewShape = "MAMMOGRAPHIC", "DIRECT", "RECTANGLE"
    ds.ImagerPixelSpacing, ds.KVP, ds.CompressionForce, ds.ExposureInuAs = [0.07, 0.07], "29", "90.5", 85000
    ds.AnatomicRegionSequence = [code("T-04000", "SRT", "Breast")]
    ds.ViewCodeSequence = [code("R-10226", "SRT", "medio-lateral oblique")]
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = [code("R-102D5", "SRT", "Implant Displaced")]
    ds.AcquisitionContextSequence = []
    ds.SeriesNumber, ds.InstanceNumber, ds.BurnedInAnnotation, ds.LossyImageCompression = 1, 2, "NO", "00"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 16, 12, 11
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.WindowCenter, ds.WindowWidth, ds.PresentationLUTShape = "2048", "4096", "IDENTITY"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    pixels = np.random.default_rng(0).integers(0, 4096, (16, 12), dtype=np.uint16)
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def save(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a dataset as a hospital's system would, with its own names in the file meta information."""
    ds.file_meta = getattr(ds, "file_meta", FileMetaDataset())
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.SourceApplicationEntityTitle = "DOE_CLINIC"
    ds.file_meta.PrivateInformationCreatorUID = "1.2.3.99"
    ds.file_meta.PrivateInformation = b"Doe private "
    ds.preamble = b"Doe".ljust(128, b"\1")
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def mammogram() -> Callable[[], Dataset]:
    return make_mammogram


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    return save


@pytest.fixture(scope="session")
def key() -> bytes:
    return SECRET_KEY


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[DeidentifyReport, FileDataset | None]]:
    """``export(dataset or path, **options)`` gives the report and what was written, read again; None if nothing was."""

    def run(source: Dataset | Path, **options: Any) -> tuple[DeidentifyReport, FileDataset | None]:
        folder = tmp_path_factory.mktemp("export")
        path = save(source, folder / "source.dcm") if isinstance(source, Dataset) else source
        report = deidentify([path], folder / "out", **{"key": SECRET_KEY} | options)
        written = list((folder / "out").rglob("*.dcm"))
        return report, dcmread(written[0]) if written else None

    return run
