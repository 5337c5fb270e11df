"""Names that replace identifiers: the same key gives the same names, and without the key nobody finds the way back."""

from __future__ import annotations

import hashlib
import hmac
import json
import re

__all__ = ["LEAST_KEY_BYTES", "Pseudonyms", "check_key"]

LEAST_KEY_BYTES = 32
"""A shorter key than the hash is weaker than the hash. Patient IDs are short: who guesses the key has them all."""

LONGEST_SHIFT_DAYS = 3650
_LEAST_DIFFERENT_BYTES = 8
_CBIS_PATIENT = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_(P_\d+)_(?:LEFT|RIGHT)_(?:CC|MLO)(?:_\d+)?")


def check_key(key: bytes) -> bytes:
    """Return ``key`` if it may be one.

    Raises:
        ValueError: for a key that is too short or made of a few bytes over and over; it is not shown.
    """
    if len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes; expected at least {LEAST_KEY_BYTES}, drawn at random")
    if len(set(key)) < _LEAST_DIFFERENT_BYTES:
        raise ValueError(
            f"the key is made of {len(set(key))} different bytes; expected {LEAST_KEY_BYTES} or more, drawn at random"
        )
    return key


class Pseudonyms:
    """Keyed hashes (HMAC-SHA256, RFC 2104) in the forms that DICOM asks for.

    Each kind of identifier has a hash of its own, so that a number which is a Patient ID in one file and an
    Accession Number in another does not link them.

    Args:
        key: at least 32 random bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = check_key(key)

    def __repr__(self) -> str:
        return "Pseudonyms(key not shown)"

    def uid(self, uid: str) -> str:
        """``2.25.`` and 128 bits as a decimal number (PS3.5 B.2); they form a UUID of version 8 (RFC 9562).

        Any text has one, valid UID or not: what comes in never appears in what comes out.
        """
        bits = int.from_bytes(self._digest("uid", uid.strip("\0 "))[:16], "big")
        bits = bits & ~(0xF << 76) | 8 << 76
        bits = bits & ~(0x3 << 62) | 2 << 62
        return f"2.25.{bits}"

    def patient(self, patient_id: str) -> str:
        """Patient ID (0010,0020): ``P`` and 80 bits in hexadecimal digits.

        CBIS-DDSM writes side and view into Patient ID; they are taken out, so that a patient stays one patient.
        """
        text = patient_id.strip()
        cbis = _CBIS_PATIENT.fullmatch(text)
        return "P" + self._hex("patient", cbis[1] if cbis else text, digits=20)

    def patient_of_study(self, study_uid: str) -> str:
        """The patient of a study that names none; another study of the same patient is another patient."""
        return "P" + self._hex("patient of study", study_uid, digits=20)

    def accession(self, number: str) -> str:
        """Accession Number (0008,0050): ``A`` and 60 bits, because it holds 16 characters."""
        return "A" + self._hex("accession", number.strip(), digits=15)

    def file(self, content_sha256: str) -> str:
        """File name for a source of this content: 80 bits; another content has another name."""
        return self._hex("file", content_sha256, digits=20) + ".dcm"

    def days(self, patient: str) -> int:
        """How many days all dates of a patient (by pseudonym) are moved back: 1 to 3650."""
        return 1 + int.from_bytes(self._digest("days", patient)[:8], "big") % LONGEST_SHIFT_DAYS

    def fingerprint(self) -> str:
        """Tells two keys apart and nothing else about them."""
        return self._hex("fingerprint", digits=16)

    def _hex(self, *parts: str, digits: int) -> str:
        return self._digest(*parts).hex()[:digits]

    def _digest(self, *parts: str) -> bytes:
        # JSON keeps ("a", "bc") and ("ab", "c") apart, and takes any character, broken ones included.
        return hmac.new(self._key, json.dumps(parts).encode("ascii"), hashlib.sha256).digest()
