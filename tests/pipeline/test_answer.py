"""``--json``: one object alone on stdout, that any reader takes."""

import enum
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mammo.pipeline.answer import new_results, print_json, stdout_for_json
from mammo.pipeline.cli import build_parser, configure_logging, main
from mammo.pipeline.completion import verb_parsers

WITHOUT = {
    "mammo study", "mammo bundle", "mammo serve", "mammo serve dicomweb", "mammo serve dimse", "mammo serve status",
    "mammo completion",
}  # fmt: skip
"""Verbs that hold others, run until they are stopped, answer in JSON anyhow, or with a script."""


class Colour(enum.Enum):
    RED = "red"


def test_every_verb_that_answers_has_the_option():
    verbs = {name: verb.format_help() for name, verb in verb_parsers(build_parser())}
    assert {name for name, text in verbs.items() if "--json" not in text} == WITHOUT


def test_json_is_such_as_any_reader_takes(capsys):
    content = {"path": Path("a/b"), "none": None, "nan": float("nan"), "inf": np.float32("inf"), "count": np.int64(3)}
    print_json({**content, "share": np.float32(0.5), "yes": True, "colour": Colour.RED, "list": ({1}, [2.5]), 7: "x"})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "path": "a/b", "none": None, "nan": None, "inf": None, "count": 3, "share": 0.5, "yes": True, "colour": "red",
        "list": [[1], [2.5]], "7": "x",
    }  # fmt: skip


def test_what_else_is_said_goes_to_stderr(capfd):
    configure_logging()
    with stdout_for_json(True):
        print("by print")
        os.write(1, b"by a library in C\n")
        logging.getLogger("mammo").warning("by logging")
    print("{}")
    out, err = capfd.readouterr()
    assert out == "{}\n"
    assert {"by print", "by a library in C"} <= set(err.splitlines())


def test_an_error_is_json_too(capfd, tmp_path):
    assert main(["audit", str(tmp_path / "no.json"), "--json"]) == 1
    out, err = capfd.readouterr()
    assert "no.json" in json.loads(out)["error"]
    assert err.startswith("mammo: error: ")


def test_results_of_a_run_are_the_files_it_wrote(tmp_path):
    (tmp_path / "older.json").write_text("[1]")
    os.utime(tmp_path / "older.json", (0, 0))
    began = time.time()
    (tmp_path / "metrics.json").write_text('{"auc": 0.5}')
    assert new_results(tmp_path, began) == {"output_dir": tmp_path, "metrics": {"auc": 0.5}}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["frob"], "frob"),
        (["phantom"], "folder"),
        (["audit", "x", "--oups", "1"], "--oups"),
        (["folds", "x", "--folds", "a"], "--folds"),
    ],
)
def test_misuse_is_json_too(words, named, capfd):
    assert main([*words, "--json"]) == 2
    out, err = capfd.readouterr()
    assert named in json.loads(out)["error"]
    assert err.startswith("usage: mammo")
    assert main(words) == 2
    assert capfd.readouterr().out == ""


def test_a_reader_that_goes_away_ends_a_command_without_a_word():
    command = f"{shlex.quote(sys.executable)} -m mammo.pipeline.cli completion zsh | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
    assert done.stdout == "#compdef mammo\n"
