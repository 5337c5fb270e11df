"""Does the Deploy application give the probabilities that every other form of the same bundle gives?

    make deploy-check

Makes a synthetic exam and a bundle with random weights, and prints one table: plain MONAI, ``mammo process``,
TorchScript, ONNX Runtime and the application, which runs as a process of its own. Looked at besides: what its log tells
at ``-l DEBUG``, and its exit status where nothing could be analysed or there is no model. Exit status 0, or 1 with
what is wrong.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pydicom
from mammo.pipeline.packaging.names import TOLERANCE
from parity import FORMS, Probabilities, read_result, spread, table, widest, write_bundle, write_exam

APP = Path(__file__).with_name("app.py")
NAMES = ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "SOPInstanceUID", "AccessionNumber")
"""Of a header: what no log may hold."""


def main() -> int:
    """Print the table; 0 where all agree."""
    if find_spec("monai.deploy") is None:
        print("the MONAI Deploy App SDK is not installed here; run `make deploy-check`", file=sys.stderr)
        return 1
    logging.disable(logging.INFO)  # MONAI's and ONNX's: hundreds of lines
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        exam = write_exam(root / "exam")
        for number, path in enumerate(exam):
            _plant(path, number)
        bundle = write_bundle(root, exam)
        columns = {form: run(bundle, root / "exam") for form, run in FORMS.items()}
        columns["Deploy app"], wrong = deployed(bundle, root)
        print(table(columns))
        if widest(columns) > TOLERANCE:
            wrong.append(f"probabilities differ by more than {TOLERANCE:g}")
        if spread(columns["plain MONAI"]) < 10 * TOLERANCE:
            wrong.append("the images' probabilities are too alike to tell a mix-up")
        wrong += refused(bundle, root) + without_model(root)
    print(
        "\n".join(f"wrong: {words}" for words in wrong) or "all agree; nothing of the patient in the log; refusals told"
    )
    return int(bool(wrong))


def deployed(bundle: Path, root: Path) -> tuple[Probabilities, list[str]]:
    """The application's probabilities of the exam, and what is wrong with how it went."""
    status, said = _run_app(root / "exam", root / "deployed", bundle, "-l", "DEBUG")
    if status:
        print(said, file=sys.stderr)
        raise SystemExit(f"the application ended with {status}; what it said is above")
    told = [f"its log tells {keyword}" for keyword in NAMES if any(value in said for value in _values(root, keyword))]
    there = {path.suffix for path in (root / "deployed").iterdir()}
    missing = [f"it wrote no {suffix} file" for suffix in (".dcm", ".html", ".json") if suffix not in there]
    return read_result(root / "deployed"), told + missing


def refused(bundle: Path, root: Path) -> list[str]:
    """An exam of which no image can be analysed: 3, and a result that says so."""
    (root / "raw").mkdir()
    for path in (root / "exam").iterdir():
        image = pydicom.dcmread(path)
        image.PresentationIntentType = "FOR PROCESSING"
        image.save_as(root / "raw" / path.name)
    status, _ = _run_app(root / "raw", root / "unanalysed", bundle)
    written = root / "unanalysed" / "result.json"
    told = written.is_file() and "for_processing" in written.read_text()
    return [] if status == 3 and told else [f"an exam FOR PROCESSING: status {status}, expected 3 and a result.json"]


def without_model(root: Path) -> list[str]:
    """No bundle where -m points: 1, and the way out."""
    (root / "empty").mkdir()
    status, said = _run_app(root / "exam", root / "nothing", root / "empty")
    return [] if status == 1 and "mammo bundle export" in said else [f"without a model: status {status}, expected 1"]


def _run_app(images: Path, out: Path, model: Path, *options: str) -> tuple[int, str]:
    command = [sys.executable, str(APP), "-i", str(images), "-o", str(out), "-m", str(model), *options]
    done = subprocess.run(command, cwd=out.parent, env=os.environ, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def _plant(path: Path, number: int) -> None:
    """Values that libraries would quote: a date that is none, and names that are nothing else's."""
    image = pydicom.dcmread(path)
    image.PatientName, image.AccessionNumber = "Zyxwvu^Quilla", f"ACC-9173{number}"
    with pydicom.config.disable_value_validation():
        image.PatientBirthDate = "Zyx19620501"
        image.save_as(path)


def _values(root: Path, keyword: str) -> set[str]:
    return {str(pydicom.dcmread(path)[keyword].value) for path in (root / "exam").iterdir()}


if __name__ == "__main__":
    sys.exit(main())
