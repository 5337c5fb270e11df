"""The page for hospitals: its settings are read as they stand there, and its reasons are ours."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mammo.pipeline.hospital.service.configuration import read_settings
from mammo.pipeline.hospital.service.settings import DicomwebSettings, DimseSettings

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "pacs.md").read_text()


@pytest.mark.parametrize(("name", "kind"), [("dicomweb", DicomwebSettings), ("dimse", DimseSettings)])
def test_its_settings_are_known(tmp_path, name, kind):
    (block,) = re.findall(rf"```yaml\n# {name}\n(.*?)```", PAGE, re.DOTALL)
    told = yaml.safe_load(block)
    for key, value in told.items():
        if str(value).startswith("/etc/"):
            told[key] = str(tmp_path / key)
            Path(told[key]).touch()
    config = tmp_path / "service.yaml"
    config.write_text(yaml.safe_dump(told))
    settings = read_settings(kind, {}, config)
    assert settings.shadow
    assert settings.quiet_s == 120


def test_its_reasons_are_in_the_code():
    code = "".join(path.read_text() for path in (ROOT / "pipeline" / "hospital" / "service").glob("*.py"))
    table = PAGE[PAGE.index("| reason | means | do |") : PAGE.index("## What to put in front")]
    reasons = re.findall(r"`([a-z_]+)`", "".join(line.split("|")[1] for line in table.splitlines() if line[:1] == "|"))
    assert len(reasons) > 15
    assert [reason for reason in reasons if f'"{reason}"' not in code] == []


def test_the_service_starts_without_what_only_its_worker_needs():
    names = ["fronts", "dicomweb", "dimse", "dimse_pacs", "web", "configuration", "verbs", "health"]
    code = f"import sys; [__import__('mammo.pipeline.hospital.service.' + name) for name in {names}]"
    code += "; print(*sorted({'torch', 'monai', 'highdicom', 'pandas', 'cv2'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
