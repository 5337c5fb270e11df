"""Names for patients, studies and images that only who holds the key can lead back."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

__all__ = ["Names", "valid_uid"]

_KEY_BYTES = 32
_DIGITS = 32
# Archives hold components with a leading zero (not PS3.5 9.1); in a path or an address they do no harm.
_UID = re.compile(r"\d+(\.\d+)+", re.ASCII)
_LONGEST_UID = 64


def valid_uid(text: object) -> bool:
    """Whether a text is a UID: numbers with dots between them, 64 characters at most."""
    return isinstance(text, str) and len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


class Names:
    """Keyed hashes (HMAC-SHA256, RFC 2104) of 128 bits, as hexadecimal digits; each kind has its own.

    Args:
        key: at least 32 random bytes.

    Raises:
        ValueError: a shorter key.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes; expected at least {_KEY_BYTES}, drawn at random")
        self._key = key

    def __repr__(self) -> str:
        return "Names(key not shown)"

    @classmethod
    def of_folder(cls, folder: Path) -> Names:
        """With the key in ``folder/key``, which is drawn the first time and then never replaced.

        Raises:
            ValueError: others may read the key, it is broken, or it is gone from a folder that has a job table.
        """
        path = folder / "key"
        if not path.exists() and (folder / "jobs.sqlite").exists():
            raise ValueError(f"{path} is gone, and with it the way to know what was done: restore it from a backup")
        if not path.exists():
            _draw(path)
        if path.stat().st_mode & 0o077:
            raise ValueError(f"{path}: others may read the key of the pseudonyms; run chmod 600 on it")
        try:
            return cls(bytes.fromhex(path.read_text("ascii").strip()))
        except ValueError as error:
            message = f"{path} is no key of {2 * _KEY_BYTES} hexadecimal digits: restore it, or start an empty folder"
            raise ValueError(message) from error

    def study(self, uid: str) -> str:
        """Of a Study Instance UID (0020,000D)."""
        return self._hash("study", uid)

    def instance(self, uid: str) -> str:
        """Of a SOP Instance UID (0008,0018)."""
        return self._hash("instance", uid)

    def patient(self, patient_id: str) -> str:
        """Of a Patient ID (0010,0020)."""
        return self._hash("patient", patient_id.strip())

    def _hash(self, kind: str, text: str) -> str:
        message = f"{kind}\n{text.strip(chr(0) + ' ')}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_DIGITS]


def _draw(path: Path) -> None:
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
