"""A real PACS, Debian's Orthanc, alone on the loopback address; `make pacs-test` runs this, and nothing else does."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pydicom
import pytest

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "mammo", "for-the-test-only"
HERE = Path(__file__).parent

collect_ignore_glob = [] if os.environ.get("MAMMO_PACS") else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def alone():
    """Orthanc listens on all addresses whatever it is told: nothing but loopback may be there."""
    if sys.platform == "linux":
        _loopback_up()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation; UDP sends nothing yet
        except OSError:
            return
    pytest.fail("other machines can be reached from here: run `make pacs-test`, which closes the network first")


def _loopback_up():
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0x1 | 0x40, b"")  # IFF_UP | IFF_RUNNING
        try:
            fcntl.ioctl(control, 0x8914, request)  # SIOCSIFFLAGS
        except PermissionError:
            return  # not ours to change: it is up already


def wait_for(condition, what, seconds=120):
    """Wait until a condition holds; return what it gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    pytest.fail(f"waited {seconds} s for {what}")


@pytest.fixture(name="wait_for")
def waiting():
    """The function, since test files import nothing of each other."""
    return wait_for


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Orthanc:
    """A PACS in a folder."""

    user, password = USER, PASSWORD

    def __init__(self, folder):
        self.folder, self.process = folder, None
        self.http, self.dicom, self.service = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}/dicom-web"
        storage = str(folder / "storage")
        modality = {"AET": "MAMMOAI", "Host": "127.0.0.1", "Port": self.service}
        allowed = ("AllowEcho", "AllowStore", "AllowFind", "AllowMove", "AllowGet", "AllowStorageCommitment")
        settings = {
            "Name": "TESTPACS", "StorageDirectory": storage, "IndexDirectory": storage, "Plugins": [str(PLUGIN)],
            "HttpPort": self.http, "RemoteAccessAllowed": False, "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD}, "DicomAet": "TESTPACS", "DicomPort": self.dicom,
            "DicomCheckCalledAet": True, "DicomAlwaysAllowStore": False, "OverwriteInstances": False, "StableAge": 2,
            "DicomModalities": {"mammoai": modality | dict.fromkeys(allowed, True)},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        folder.mkdir(parents=True)
        (folder / "orthanc.json").write_text(json.dumps(settings))

    def start(self):
        with open(self.folder / "orthanc.log", "a") as log:
            self.process = subprocess.Popen(["Orthanc", self.folder / "orthanc.json"], stdout=log, stderr=log)
        wait_for(self.answers, "Orthanc to start", 60)
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def answers(self):
        if self.process.poll() is not None:
            pytest.fail(f"Orthanc ended: {(self.folder / 'orthanc.log').read_text()[-2000:]}")
        try:
            return bool(self.ask("/system"))
        except (urllib.error.URLError, ConnectionError):
            return False

    def ask(self, path, body=None, raw=False):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data=body)
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=60) as response:
            content = response.read()
        return content if raw else json.loads(content)

    def push(self, paths):
        """As a modality sends; returns Orthanc's identifier of the study."""
        stored = [self.ask("/instances", Path(path).read_bytes()) for path in paths]
        return stored[0]["ParentStudy"]

    def route(self, study):
        """Send a study to the service, as a PACS routes; whether all went through."""
        try:
            body = json.dumps({"Resources": [study], "Synchronous": True}).encode()
            return self.ask("/modalities/mammoai/store", body)["FailedInstancesCount"] == 0
        except (urllib.error.HTTPError, ConnectionError):
            return False

    def results(self, study=None):
        """What the service stored, as data sets."""
        instances = self.ask("/instances?expand" if study is None else f"/studies/{study}/instances")
        mammograms = ("1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.1.2.1")
        files = (self.ask(f"/instances/{instance['ID']}/file", raw=True) for instance in instances)
        read = (pydicom.dcmread(pydicom.filebase.DicomBytesIO(content)) for content in files)
        return [ds for ds in read if ds.SOPClassUID not in mammograms]


@pytest.fixture
def pacs(tmp_path):
    """A running PACS."""
    if shutil.which("Orthanc") is None or not PLUGIN.is_file():
        pytest.fail("Orthanc is not installed: apt-get install --no-install-recommends orthanc orthanc-dicomweb")
    orthanc = Orthanc(tmp_path / "pacs").start()
    yield orthanc
    orthanc.stop()


class Service:
    """A service of ours in a process, which can be killed and started again."""

    def __init__(self, folder, pacs, front, seconds=0.5):
        folder.mkdir()
        self.folder, self.front, self.process = folder / "service", front, None
        (folder / "best.pt").touch()
        self.runs, self.settings, self.out = folder / "runs", folder / "settings.json", folder / "out"
        told = {
            "folder": str(self.folder), "checkpoint": str(folder / "best.pt"), "quiet_s": 1.0, "max_wait_s": 20.0,
            "first_wait_s": 0.3, "most_wait_s": 1.0, "runs": str(self.runs), "seconds": seconds,
        }  # fmt: skip
        told |= settings_of(front, pacs)
        self.settings.write_text(json.dumps(told))

    def start(self, command=None):
        command = command or [sys.executable, HERE / "serve_stub.py", self.front, self.settings]
        environment = os.environ | {"MAMMO_PACS_USER": USER, "MAMMO_PACS_PASSWORD": PASSWORD, "OMP_NUM_THREADS": "1"}
        with open(self.out, "a") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0

    def rows(self, query):
        import sqlite3

        path = self.folder / "jobs.sqlite"
        if not path.exists():
            return []
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError:  # it is just being made
            return []
        finally:
            connection.close()

    def states(self):
        return [state for (state,) in self.rows("SELECT state FROM job ORDER BY number")]

    def said(self):
        """The events of its log so far."""
        path = self.folder / "log.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line)["event"] for line in lines if line.endswith("}")]

    def computed(self):
        """How often the worker process finished a study."""
        return len(self.runs.read_text().splitlines()) if self.runs.exists() else 0


def settings_of(front, pacs):
    """What a front must be told about a PACS."""
    if front == "dicomweb":
        return {"url": pacs.url, "look_back_days": None, "poll_s": 0.3}
    return {
        "ae_title": "MAMMOAI", "port": pacs.service, "allowed": ["TESTPACS", "PUSHER"], "pacs_ae_title": "TESTPACS",
        "pacs_host": "127.0.0.1", "pacs_port": pacs.dicom, "commitment_wait_s": 2.0,
    }  # fmt: skip


@pytest.fixture
def serve(tmp_path, pacs):
    """Makes services, and stops them."""
    made = []

    def one(front, to=pacs, **options):
        made.append(Service(tmp_path / f"site{len(made)}", to, front, **options))
        return made[-1]

    yield one
    for service in made:
        if service.process is not None and service.process.poll() is None:
            service.kill()


@pytest.fixture(scope="session")
def study_files(tmp_path_factory):
    """Makes studies: four phantom views each, alike but for their identifiers."""
    from mammo.pipeline.phantom.study import write_study
    from pydicom.uid import generate_uid

    views = write_study(tmp_path_factory.mktemp("phantom"), index=1, seed=77, preset="demo")
    folder = tmp_path_factory.mktemp("studies")

    def one(name):
        made = []
        for number, view in enumerate(views):
            ds = pydicom.dcmread(view.path)
            ds.PatientID, ds.PatientName = f"P-{name}", f"Phantom^{name}"
            ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", name])
            ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", name, str(number)])
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[name, str(number)])
            made.append(folder / f"{name}-{number}.dcm")
            ds.save_as(made[-1], enforce_file_format=True)
        return made

    return one
