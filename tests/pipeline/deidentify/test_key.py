"""Where the key comes from, and who can read it."""

import os
from pathlib import Path

import pytest
from mammo.pipeline.deidentify import KEY_VARIABLE, create_key, load_key
from mammo.pipeline.deidentify.key import write_private


def test_a_new_key_is_long_private_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "key"
    created = create_key(path)
    assert load_key(path) == created
    assert len(created) == 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert created != create_key(tmp_path / "other")


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    create_key(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(ValueError, match="there is a key already"):
        create_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    create_key(path)
    os.chmod(path, 0o640)
    with pytest.raises(ValueError, match="mode 640 lets others read the key; run chmod 600"):
        load_key(path)


def test_a_missing_key_file_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such key file"):
        load_key(tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_a_short_key_is_named_by_its_place_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"hunter2 hunter2\n")
    with pytest.raises(ValueError, match=r"key: the key has 15 bytes") as caught:
        load_key(path)
    assert "hunter2" not in str(caught.value)


def test_the_environment_holds_a_key_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "0123456789abcdef" * 3)
    assert load_key() == b"0123456789abcdef" * 3
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ValueError, match=f"set {KEY_VARIABLE} to at least 32 bytes"):
        load_key()


def test_private_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]
