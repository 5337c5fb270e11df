"""What docs/pacs.md prints beyond the two fronts: a gateway in front, and an echo."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "pacs.md").read_text()


def change(orthanc, **settings):
    """Change the settings of a PACS that does not run."""
    path = orthanc.folder / "orthanc.json"
    told = json.loads(path.read_text())
    told["DicomModalities"] |= settings.pop("modalities")
    path.write_text(json.dumps(told | settings))


def test_a_gateway_passes_on_what_the_service_stores(pacs, serve, study_files, wait_for, tmp_path):
    (script,) = re.findall(r"```lua\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "route.lua").write_text(script)
    gateway = type(pacs)(tmp_path / "gateway")
    to_pacs = {"AET": "TESTPACS", "Host": "127.0.0.1", "Port": pacs.dicom}
    change(gateway, DicomAet="GATEWAY", LuaScripts=[str(tmp_path / "route.lua")], modalities={"pacs": to_pacs})
    pacs.stop()
    change(pacs, modalities={"gateway": {"AET": "GATEWAY", "Host": "127.0.0.1", "Port": 1, "AllowStore": True}})
    pacs.start()
    gateway.start()
    service = serve("dicomweb", to=gateway).start()
    gateway.push(study_files("gateway"))
    wait_for(lambda: service.states() == ["committed"], "the gateway to have the result")
    wait_for(lambda: len(pacs.results()) == 1, "the PACS to have it")
    assert pacs.results()[0].SOPInstanceUID == gateway.results()[0].SOPInstanceUID
    service.stop()
    gateway.stop()


def test_only_a_named_ae_title_is_answered_by_dcmtk_too(pacs, serve, wait_for):
    echo = shutil.which("echoscu", path="/usr/bin")  # that of pynetdicom may come first on the path
    if echo is None:
        pytest.fail("dcmtk is not installed: apt-get install --no-install-recommends dcmtk")
    service = serve("dimse").start()
    wait_for(lambda: "listening" in service.said(), "the front to listen")
    for title, answered in (("TESTPACS", True), ("STRANGER", False)):
        done = subprocess.run([echo, "-aet", title, "-aec", "MAMMOAI", "127.0.0.1", str(pacs.service)], check=False)
        assert (done.returncode == 0) == answered
    service.stop()
