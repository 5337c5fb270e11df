"""Keyed names: nothing of an identifier is left, and the key is kept."""

import re

import pytest
from mammo.pipeline.hospital.service.names import Names, valid_uid


@pytest.mark.parametrize("uid", ["1.2", "2.25.123456789", "1.2.840.10008.5.1.4.1.1.1.2", "1." + "2" * 62])
def test_a_uid_is_one(uid):
    assert valid_uid(uid)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.",
        ".1",
        "1..2",
        "../../../etc/cron.d/x",
        "1.2/3",
        "1.2\n",
        "1.2 ",
        "1." + "2" * 63,
        "1.2\u0663",
        None,
        1.2,
    ],
)
def test_what_is_no_uid_is_not(text):
    assert not valid_uid(text)


def test_names_are_hexadecimal_and_tell_kinds_apart():
    names = Names(bytes(range(32)))
    made = [names.study("1.2.3"), names.instance("1.2.3"), names.patient("1.2.3")]
    assert len(set(made)) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in made)
    assert names.study("1.2.3\0") == names.study("1.2.3")


def test_another_key_gives_other_names():
    assert Names(b"a" * 32).study("1.2.3") != Names(b"b" * 32).study("1.2.3")


def test_the_key_of_a_folder_is_drawn_once_and_for_its_owner(tmp_path):
    first = Names.of_folder(tmp_path).study("1.2.3")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert Names.of_folder(tmp_path).study("1.2.3") == first


def test_a_key_that_others_may_read_is_refused(tmp_path):
    Names.of_folder(tmp_path)
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        Names.of_folder(tmp_path)


@pytest.mark.parametrize("content", ["", "short", "ab" * 8])
def test_a_broken_key_is_refused_and_never_replaced(tmp_path, content):
    (tmp_path / "key").write_text(content)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ValueError, match="restore it"):
        Names.of_folder(tmp_path)
    assert (tmp_path / "key").read_text() == content


def test_a_key_that_is_gone_from_a_folder_in_use_is_not_drawn_anew(tmp_path):
    (tmp_path / "jobs.sqlite").touch()
    with pytest.raises(ValueError, match="restore it from a backup"):
        Names.of_folder(tmp_path)
