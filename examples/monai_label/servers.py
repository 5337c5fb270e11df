"""The two servers of the check, each alone on the loopback address and gone when its block ends."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["CheckError", "alone", "label_server", "orthanc", "request"]

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "mammo", "for-the-check-only"
PATIENCE_S = 900
"""For a server's first answer: importing MONAI Label from a cold disk takes minutes."""


class CheckError(RuntimeError):
    """The check cannot be made here, or a server does not do its part; the text says what to do."""


def alone() -> None:
    """Make sure that no other machine can be reached: Orthanc listens on all addresses whatever it is told.

    Raises:
        CheckError: one can.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        if sys.platform == "linux":
            _loopback_up(control)
        try:
            control.connect(("192.0.2.1", 9))  # an address for documentation; UDP sends nothing yet
        except OSError:
            return
    raise CheckError("other machines can be reached from here: run `make label-check`, which closes the network first")


def _loopback_up(control: socket.socket) -> None:
    import fcntl

    try:
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))  # SIOCSIFFLAGS: up, running
    except PermissionError:
        return  # not ours to change: it is up already


@contextmanager
def orthanc(folder: Path) -> Iterator[str]:
    """Debian's Orthanc in a folder; gives its address. It asks for :data:`USER` and :data:`PASSWORD`."""
    if shutil.which("Orthanc") is None or not PLUGIN.is_file():
        raise CheckError("Orthanc is not installed: apt-get install --no-install-recommends orthanc orthanc-dicomweb")
    port, storage = free_port(), str(folder / "storage")
    settings = {
        "Name": "LABELPACS", "StorageDirectory": storage, "IndexDirectory": storage, "Plugins": [str(PLUGIN)],
        "HttpPort": port, "RemoteAccessAllowed": False, "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD}, "DicomServerEnabled": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    folder.mkdir()
    (folder / "orthanc.json").write_text(json.dumps(settings))
    url = f"http://127.0.0.1:{port}"
    with _running(["Orthanc", str(folder / "orthanc.json")], folder, os.environ, lambda: request(f"{url}/system")):
        yield url


@contextmanager
def label_server(folder: Path, environment: Path, pacs: str, bundle: Path) -> Iterator[str]:
    """MONAI Label with one bundle and a PACS, as the page beside this file says; gives its address.

    Args:
        folder: a new one, for application, logs and what it downloads.
        environment: virtual environment with MONAI Label.
        pacs: address of Orthanc.
        bundle: of localisation.
    """
    app, port = folder / "app", free_port()
    shutil.copytree(environment / "monailabel" / "sample-apps" / "monaibundle", app)
    shutil.copytree(bundle, app / "model" / bundle.name)
    python = environment / "bin" / "python"
    command = [str(python), str(Path(__file__).with_name("start.py")), "start_server", "--app", str(app)]
    command += ["--studies", f"{pacs}/dicom-web", "--host", "127.0.0.1", "--port", str(port)]
    options = {"models": bundle.name, "zoo_source": "local", "sam2": "false", "skip_trainers": "true"}
    for name, value in options.items():
        command += ["--conf", name, value]
    variables = os.environ | {
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",  # there is dcmqi, which it would download
        "HOME": str(folder),  # what it caches goes with the check
        "MONAI_LABEL_DICOMWEB_USERNAME": USER,
        "MONAI_LABEL_DICOMWEB_PASSWORD": PASSWORD,
        "MONAI_LABEL_DICOMWEB_SEARCH_FILTER": '{"Modality": "MG"}',
        "MONAI_LABEL_DICOMWEB_CONVERT_TO_NIFTI": "false",
        "MONAI_EVAL_EXPR": "0",
    }
    url = f"http://127.0.0.1:{port}"
    with _running(command, folder, variables, lambda: request(f"{url}/info/")):
        yield url


def request(url: str, body: bytes | None = None) -> bytes:
    """What a server answers with status 200.

    Raises:
        CheckError: it answers with another status; the text holds what it said.
        OSError: it does not answer.
    """
    asked = urllib.request.Request(url, data=body)
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    asked.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as response:
            content: bytes = response.read()
            return content
    except urllib.error.HTTPError as error:
        raise CheckError(f"{url}: status {error.code}: {error.read()[:500].decode(errors='replace')}") from error


def free_port() -> int:
    """A port of the loopback address on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def _running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], answers: Callable[[], Any]
) -> Iterator[None]:
    """A server from its first answer to the end of the block; what it says is in ``log`` of the folder."""
    log = folder / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=out, stderr=out)
    try:
        _wait(process, answers, log)
        yield
    except BaseException:
        print(f"last lines of {command[0]}:\n{log.read_text(errors='replace')[-4000:]}", file=sys.stderr)
        raise
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], answers: Callable[[], Any], log: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise CheckError(f"it ended with status {process.returncode}; its log is {log}")
        try:
            answers()
            return
        except OSError:  # it does not listen yet
            time.sleep(0.5)
    raise CheckError(f"no answer within {PATIENCE_S} s; its log is {log}")
