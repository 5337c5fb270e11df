"""Log and audit trail: nothing of a patient, nothing of an error's text, and no line changed unseen."""

import json
import logging
import subprocess
import sys
import threading
import warnings

import pytest
from mammo.pipeline.hospital.service.audit import Audit, check_audit
from mammo.pipeline.hospital.service.log import Log, quiet_libraries


@pytest.fixture
def log(tmp_path, clock):
    log = Log(tmp_path, clock=clock)
    yield log
    log.close()


def lines(tmp_path, name="log.jsonl"):
    return [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]


@pytest.mark.parametrize(
    "value", ["http_500", "ValueError:study.py:12", "a" * 32, "0123456789abcdef" * 4, 7, 1.5, True, None]
)
def test_codes_numbers_and_pseudonyms_are_said(log, tmp_path, value):
    log.say("event", audit=True, value=value)
    assert lines(tmp_path)[0]["value"] == lines(tmp_path, "audit.jsonl")[0]["value"] == value


@pytest.mark.parametrize(
    "value",
    ["Doe^Jane", "1.2.840.10008.1.2", "20260105", "Jane Doe", "123456", "J\u00e4ne", "a" * 81, "x\n{}", "1962-05-01"],
)
def test_anything_else_is_not(log, tmp_path, value):
    log.say("event", audit=True, value=value)
    assert lines(tmp_path)[0]["value"] == lines(tmp_path, "audit.jsonl")[0]["value"] == "?"


def test_of_an_error_only_type_and_place_are_said(log, tmp_path):
    try:
        raise ValueError("Doe^Jane")
    except ValueError as error:
        log.error("step_failed", error, step="worker")
    (line,) = lines(tmp_path)
    assert line["error"] == "ValueError"
    assert line["where"].startswith("test_log.py:")
    assert "Doe" not in (tmp_path / "log.jsonl").read_text()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_libraries_and_threads_say_comes_without_its_text(log, tmp_path, monkeypatch, capfd):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    try:
        quiet_libraries(log)
        logging.getLogger("pydicom").warning("Invalid value Doe^Jane")
        logging.getLogger("pynetdicom.dul").exception("Doe^Jane")
        logging.getLogger("dicomweb_client.web").info("retrieve instance 1.2.3.4")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("Doe^Jane", stacklevel=1)
        thread = threading.Thread(target=int, args=("Doe^Jane",))
        thread.start()
        thread.join()
    finally:
        logging.captureWarnings(False)
        for name in ("pydicom", "pynetdicom", "dicomweb_client"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    told = lines(tmp_path)
    assert [line.get("logger") for line in told[:2]] == ["pydicom", "pynetdicom.dul"]
    assert told[-1]["error"] == "ValueError"
    out = (tmp_path / "log.jsonl").read_text() + "".join(capfd.readouterr())
    assert "Doe" not in out
    assert "1.2.3.4" not in out


def test_files_are_for_their_owner(log, tmp_path):
    log.say("event", audit=True)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("log.jsonl", "audit.jsonl")} == {0o600}


@pytest.fixture
def trail(tmp_path, clock):
    """Writes a trail of three lines, in two runs."""
    path = tmp_path / "audit.jsonl"
    for events in (("started", "sent"), ("started",)):
        audit = Audit(path, clock)
        for event in events:
            audit.add(event, job=1)
        audit.close()
    return path


def test_a_trail_goes_on_after_a_restart(trail):
    lines, head = check_audit(trail)
    assert lines == 3
    assert len(head) == 64
    assert [json.loads(line)["n"] for line in trail.read_text().splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("line", [0, 1])
def test_a_changed_line_is_seen(trail, line):
    written = trail.read_text().splitlines()
    written[line] = written[line].replace('"job":1', '"job":2')
    trail.write_text("\n".join(written) + "\n")
    with pytest.raises(ValueError, match=f"line {line + 2} was changed"):
        check_audit(trail)


def test_a_line_taken_out_or_put_in_is_seen(trail):
    written = trail.read_text().splitlines()
    trail.write_text("\n".join(written[:1] + written[2:]) + "\n")
    with pytest.raises(ValueError, match="line 2"):
        check_audit(trail)
    trail.write_text("\n".join([*written, "{}"]) + "\n")
    with pytest.raises(ValueError, match="line 4"):
        check_audit(trail)


def test_a_cut_at_the_end_changes_the_hash_of_the_last_line(trail):
    head = check_audit(trail)
    trail.write_text("\n".join(trail.read_text().splitlines()[:-1]) + "\n")
    assert check_audit(trail) != head


def test_half_a_line_is_cut_off_and_that_is_said(trail, clock):
    with open(trail, "a") as file:
        file.write('{"n":4,"at":1')
    Audit(trail, clock).close()
    assert check_audit(trail)[0] == 4
    last = json.loads(trail.read_text().splitlines()[-1])
    assert (last["event"], last["bytes_cut"]) == ("audit_repaired", 13)


def test_a_process_killed_while_it_writes_leaves_a_trail_that_holds(tmp_path):
    code = (
        "import sys, pathlib; from mammo.pipeline.hospital.service.audit import Audit\n"
        "audit = Audit(pathlib.Path(sys.argv[1]))\nprint('go', flush=True)\nwhile True: audit.add('event')"
    )
    path = tmp_path / "audit.jsonl"
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            process.kill()
    Audit(path).close()
    assert check_audit(path)[0] >= 0
