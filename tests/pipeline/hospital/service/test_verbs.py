"""The command line of the service."""

import json

import pytest
from mammo.pipeline.hospital.service.states import DEAD, QUEUED
from mammo.pipeline.hospital.service.verbs import add_serve_verb


@pytest.fixture
def serve():
    """Runs `mammo serve ...` as the command line does."""
    import argparse

    parser = argparse.ArgumentParser()
    add_serve_verb(parser.add_subparsers())

    def run(*words):
        arguments = parser.parse_args(["serve", *map(str, words)])
        return arguments.verb(arguments, {})

    return run


@pytest.mark.parametrize("front", ["dicomweb", "dimse"])
def test_help_tells_every_option_and_its_default(serve, front, capsys):
    with pytest.raises(SystemExit) as caught:
        serve(front, "--help")
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert "--quiet_s FLOAT" in told
    assert "60.0" in told
    assert "--no-shadow" in told
    assert "--password" not in told


def test_options_reach_the_service(serve, tmp_path, monkeypatch):
    from mammo.pipeline.hospital.service import fronts

    begun = []
    monkeypatch.setattr(fronts, "serve_dicomweb", lambda settings, work: begun.append((settings, work)))
    (tmp_path / "best.pt").touch()
    serve(
        "dicomweb", "--folder", tmp_path, "--checkpoint", tmp_path / "best.pt", "--url", "https://pacs/x", "--shadow",
        "--filter", "ModalitiesInStudy=MG", "StationName=X1", "--results", "sr", "overlay", "--health_port", "8080",
    )  # fmt: skip
    ((settings, work),) = begun
    assert settings.filter == {"ModalitiesInStudy": "MG", "StationName": "X1"}
    assert (settings.shadow, settings.health_port) == (True, 8080)
    assert (work.checkpoint, work.results) == (tmp_path / "best.pt", ("sr", "overlay"))


def test_status_and_retry_look_at_a_folder(serve, desk, queued, capsys):
    desk.jobs.move(queued(), DEAD, back=QUEUED, reason="crashed")
    serve("status", desk.folder)
    told = json.loads(capsys.readouterr().out)
    assert told["jobs"]["dead"] == 1
    assert told["reasons"] == {"crashed": 1}
    assert told["audit"]["lines"] > 0
    serve("retry", desk.folder)
    assert "1 jobs go on" in capsys.readouterr().out
    assert desk.jobs.counts() == {QUEUED: 1}


def test_another_folder_is_refused(serve, tmp_path):
    with pytest.raises(ValueError, match=r"no jobs\.sqlite"):
        serve("status", tmp_path)


def test_without_a_front_there_is_help(serve, capsys):
    assert serve().status == 2
    assert "dicomweb" in capsys.readouterr().out
