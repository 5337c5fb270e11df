"""A desk in a temporary folder whose clock the test holds, and DICOM files small enough to have many."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mammo.pipeline.hospital.service.arrivals import Arrivals
from mammo.pipeline.hospital.service.desk import Desk
from mammo.pipeline.hospital.service.jobs import Jobs
from mammo.pipeline.hospital.service.log import Log
from mammo.pipeline.hospital.service.names import Names
from mammo.pipeline.hospital.service.retry import Backoff
from mammo.pipeline.hospital.service.spool import Spool
from mammo.pipeline.hospital.service.table import Table
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"
REPORT = "1.2.840.10008.5.1.4.1.1.88.34"


class Clock:
    """Seconds that pass when told."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now

    def pass_s(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def open_desk(tmp_path, clock):
    """Opens the desk of one folder, again and again as after a crash."""
    opened = []

    def open_one():
        folder = tmp_path / "service"
        folder.mkdir(exist_ok=True)
        names, table = Names.of_folder(folder), Table(folder / "jobs.sqlite")
        jobs = Jobs(table, Backoff(10.0, 80.0, attempts=4, compute_attempts=3), clock=clock)
        log = Log(folder, clock=clock)
        opened.append((table, log))
        return Desk(folder, names, Spool(folder), jobs, log)

    yield open_one
    for table, log in opened:
        table.close()
        log.close()


@pytest.fixture
def desk(open_desk):
    return open_desk()


@pytest.fixture
def arrivals(desk, clock):
    return Arrivals(desk.jobs.table, "model", clock=clock)


@pytest.fixture
def receive(desk, arrivals, tmp_path):
    """Puts an image into the spool, as a front does."""

    def one(study="1.2.3", instance="1.2.3.4", content=b"image"):
        keys = desk.names.study(study), desk.names.instance(instance)
        temporary = desk.spool.temporary()
        temporary.write_bytes(content)
        desk.spool.adopt(temporary, *keys)
        return arrivals.received(*keys, uid=study, instance=instance, patient=desk.names.patient("P1"))

    return one


@pytest.fixture
def queued(desk, arrivals, receive, clock):
    """Makes a queued job of a study with one image."""
    from mammo.pipeline.hospital.service.collector import Collector

    def one(study="1.2.3", instance=None):
        receive(study, instance or f"{study}.1")
        clock.pass_s(100)
        Collector(desk, lambda: arrivals, quiet_s=60, max_wait_s=600).step()
        return desk.jobs.table.jobs("state = 'queued' ORDER BY number DESC")[0]

    return one


@pytest.fixture
def computed(desk, queued):
    """Makes a computed job with one object."""

    def one(study="1.2.3", result="r1"):
        queued(study)
        job = desk.jobs.start()
        folder = desk.spool.new_result_folder()
        write_dicom(folder / "sr.dcm", study=study, instance=f"{study}.99", sop_class=REPORT)
        desk.spool.seal(folder)
        return desk.jobs.computed(job, folder.name, result, "analysed", "implant")

    return one


def dicom(study="1.2.3", instance="1.2.3.4", sop_class=MAMMOGRAM, **elements):
    """A data set that is complete enough to be sent about."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = instance
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.5"
    ds.PatientID, ds.PatientName = "SECRET-ID", "Secret^Name"
    ds.Manufacturer, ds.SeriesDescription = "vendor", "R CC"
    ds.Rows = ds.Columns = 16
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 16, 12, 11, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = np.zeros((16, 16), np.uint16).tobytes()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def write_dicom(path, **options):
    dicom(**options).save_as(path, enforce_file_format=True)
    return Path(path)


@pytest.fixture(scope="session")
def make():
    """Functions that make DICOM, since test folders import nothing of each other."""
    return SimpleNamespace(dicom=dicom, write=write_dicom, mammogram=MAMMOGRAM, report=REPORT)
