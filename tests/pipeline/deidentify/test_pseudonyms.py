"""Keyed names: the hash of RFC 2104 computed by hand, valid UIDs for any text, and keys that may not be one."""

import hashlib
import json
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mammo.pipeline.deidentify import Pseudonyms
from mammo.pipeline.deidentify.pseudonyms import check_key

KEY = bytes(range(40))
UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")


def hmac_by_hand(*parts: str) -> bytes:
    block = KEY.ljust(64, b"\0")
    inner = bytes(b ^ 0x36 for b in block) + json.dumps(list(parts)).encode()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + hashlib.sha256(inner).digest()).digest()


def test_patient_is_the_start_of_the_hash() -> None:
    assert Pseudonyms(KEY).patient(" PAT42 ") == "P" + hmac_by_hand("patient", "PAT42").hex()[:20]


def test_uid_is_the_hash_as_a_uuid() -> None:
    uid = Pseudonyms(KEY).uid("1.2.3\0")
    found = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert (found.variant, found.version) == (uuid.RFC_4122, 8)
    free = ~(0xF << 76 | 0x3 << 62)
    assert found.int & free == int.from_bytes(hmac_by_hand("uid", "1.2.3")[:16], "big") & free


@given(st.one_of(st.text(), st.sampled_from(["../../etc/passwd", "", "1.2.03", "\ud800", "1" * 500])))
def test_any_text_gives_a_valid_uid_without_it(text: str) -> None:
    uid = Pseudonyms(KEY).uid(text)
    assert UID.fullmatch(uid)
    assert len(uid) <= 64
    assert uid == Pseudonyms(KEY).uid(text)


@given(st.text(min_size=1))
def test_pseudonyms_fit_their_elements_and_file_names(text: str) -> None:
    names = Pseudonyms(KEY)
    assert re.fullmatch("P[0-9a-f]{20}", names.patient(text))
    assert re.fullmatch("A[0-9a-f]{15}", names.accession(text))
    assert re.fullmatch(r"[0-9a-f]{20}\.dcm", names.file(text))
    assert 1 <= names.days(text) <= 3650


def test_another_key_gives_other_names_throughout() -> None:
    one, other = Pseudonyms(KEY), Pseudonyms(KEY[::-1])
    for kind in ("uid", "patient", "patient_of_study", "accession", "file", "days"):
        assert getattr(one, kind)("42") != getattr(other, kind)("42"), kind
    assert one.fingerprint() != other.fingerprint()


def test_one_number_in_two_roles_is_not_linked() -> None:
    names = Pseudonyms(KEY)
    assert names.patient("42")[1:16] != names.accession("42")[1:16]


def test_cbis_patient_ids_of_both_views_are_one_patient() -> None:
    names = Pseudonyms(KEY)
    ids = ["Mass-Training_P_00001_LEFT_CC", "Mass-Training_P_00001_LEFT_MLO", "Calc-Test_P_00001_RIGHT_CC_1"]
    assert len({names.patient(text) for text in ids}) == 1
    assert names.patient("Mass-Training_P_00002_LEFT_CC") != names.patient(ids[0])


@pytest.mark.parametrize(
    ("key", "problem"), [(b"short but secret", "16 bytes; expected at least 32"), (b"ab" * 30, "2 different bytes")]
)
def test_weak_keys_are_refused_and_not_shown(key: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        check_key(key)
    assert key.decode() not in str(caught.value)


def test_the_key_does_not_show() -> None:
    assert repr(Pseudonyms(KEY)) == "Pseudonyms(key not shown)"
