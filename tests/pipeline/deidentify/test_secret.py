"""A secret in any element, at any depth, in any character set, never reaches the exported bytes."""

import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mammo.pipeline.deidentify import PROFILE, deidentify
from pydicom import dcmwrite
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataset import Dataset

Mammogram = Callable[[], Dataset]
Write = Callable[..., Path]
TEXT_VRS = ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"]
BYTE_VRS = ["OB", "OW", "OF", "OD", "OL", "UN"]
LONG_VRS = ["UC", "UR", "UT", "SQ", *BYTE_VRS]
WORD, DIGITS, FOREIGN = "Zebrowska^Quirina", "8675309421", "Żółwiński"
PIXEL_DATA = 0x7FE00010
KEPT = {keyword: int(tag_for_keyword(keyword) or 0) for keyword in PROFILE}
TAGS = [tag for tag in DicomDictionary if tag >> 16 not in (0x0000, 0x0002, 0xFFFE) and tag != PIXEL_DATA]
SEQUENCES = ["ViewCodeSequence", "AnatomicRegionSequence", "SharedFunctionalGroupsSequence", "VOILUTSequence"]
SEQUENCES += ["RequestAttributesSequence", "ReferencedStudySequence", "SourceImageSequence", "FrameAnatomySequence"]
SEQUENCES += ["ViewModifierCodeSequence", "AcquisitionContextSequence", "PerFrameFunctionalGroupsSequence"]


def encoded(tag: int, vr: str, value: bytes) -> bytes:
    """An element in Explicit VR Little Endian exactly as given, whether its VR and value are allowed or not."""
    value += b" " * (len(value) % 2)
    start = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + vr.encode()
    if vr in LONG_VRS:
        return start + b"\0\0" + len(value).to_bytes(4, "little") + value
    return start + len(value).to_bytes(2, "little") + value


def item(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content


def base_elements(ds: Dataset) -> dict[int, bytes]:
    """The elements of a dataset, each in its bytes."""
    elements = {}
    for element in ds:
        alone, buffer = Dataset(), BytesIO()
        alone.add(element)
        dcmwrite(buffer, alone, implicit_vr=False, little_endian=True)
        elements[int(element.tag)] = buffer.getvalue()
    return elements


CODE = {
    0x00080100: encoded(0x00080100, "SH", b"R-10226"),
    0x00080102: encoded(0x00080102, "SH", b"SRT"),
    0x00080104: encoded(0x00080104, "LO", b"medio-lateral oblique"),
}


def joined(elements: Mapping[int, bytes]) -> bytes:
    return b"".join(elements[tag] for tag in sorted(elements))


def plant(elements: dict[int, bytes], path: list[str], tag: int, vr: str, value: bytes) -> None:
    """Put an element under nested sequences, beside a code in each of their items."""
    if not path:
        elements[tag] = encoded(tag, vr, value)
        return
    inner = dict(CODE)
    plant(inner, path[1:], tag, vr, value)
    sequence = int(tag_for_keyword(path[0]) or 0)
    elements[sequence] = encoded(sequence, "SQ", item(joined(inner)))


def hostile_file(path: Path, start: Path, elements: Mapping[int, bytes], behind: bytes = b"") -> Path:
    """A file of these elements with preamble and file meta information of another one."""
    data = start.read_bytes()
    length = int.from_bytes(data[140:144], "little")
    path.write_bytes(data[: 144 + length] + joined(elements) + behind)
    return path


def traces(secret: str) -> list[bytes]:
    """What a secret looks like in a file, whole or by its parts, in the encodings that DICOM has."""
    forms = {form for part in (secret, *secret.split("^")) for form in (part, part.upper(), part.lower())}
    encodings = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "iso8859_2")
    return [form.encode(encoding) for form in forms for encoding in encodings]


def leaks(folder: Path, *secrets: str) -> list[bytes]:
    """Traces of secrets in what lies in an output folder, names included."""
    content = b"".join(
        str(file.relative_to(folder)).encode() + file.read_bytes() for file in folder.rglob("*") if file.is_file()
    )
    return [trace for secret in secrets for trace in traces(secret) if trace in content]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, mammogram: Mammogram, write: Write) -> Path:
    return write(mammogram(), tmp_path_factory.mktemp("start") / "start.dcm")


@pytest.fixture
def elements(mammogram: Mammogram) -> dict[int, bytes]:
    return base_elements(mammogram())


BASE: dict[int, bytes] = {}
Planted = tuple[list[str], int, str, bytes]


@st.composite
def hostile_elements(draw: st.DrawFn) -> Planted:
    """A path of sequences, and an element that holds a secret, under any tag and VR."""
    path = draw(st.lists(st.sampled_from(SEQUENCES), max_size=3))
    private = st.builds(lambda half, element: (2 * half + 1) << 16 | element, st.integers(4, 99), st.integers(16, 999))
    graphics = st.integers(0x60000000, 0x60FEFFFF)
    tag = draw(st.one_of(st.sampled_from(list(KEPT.values())), st.sampled_from(TAGS), private, graphics))
    secret = draw(st.sampled_from([WORD, DIGITS, FOREIGN])).encode(draw(st.sampled_from(["utf-8", "utf-16-le"])))
    secret = draw(st.sampled_from([b"", b"1\\", b"L^", b"MLO "])) + secret
    return path, tag, draw(st.sampled_from([*TEXT_VRS, *BYTE_VRS])), secret


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(hostile_elements(), min_size=1, max_size=4), st.sampled_from(["ISO_IR 100", "ISO_IR 192", "Zebrowska"]))
def test_a_secret_anywhere_never_leaves(
    tmp_path_factory: pytest.TempPathFactory,
    mammogram: Mammogram,
    start: Path,
    key: bytes,
    planted: list[Planted],
    charset: str,
) -> None:
    elements = BASE or base_elements(mammogram())
    BASE.update(elements)
    hostile = dict(elements)
    for path, tag, vr, value in planted:
        plant(hostile, path, tag, vr, value)
    hostile[0x00080005] = encoded(0x00080005, "CS", charset.encode())
    folder = tmp_path_factory.mktemp("secret")
    report = deidentify([hostile_file(folder / "a.dcm", start, hostile)], folder / "out", key=key)
    assert leaks(folder / "out", WORD, DIGITS, FOREIGN, "Zebrowska") == []
    said = report.summary() + " ".join(entry["message"] for entry in report.set_aside)
    assert not any(secret in said for secret in (WORD, DIGITS, FOREIGN))


def test_a_secret_in_every_element_that_is_not_kept_changes_nothing(
    tmp_path: Path, elements: dict[int, bytes], start: Path, key: bytes
) -> None:
    others = [tag for tag in TAGS if tag not in elements and tag not in KEPT.values()]
    known = {tag: DicomDictionary[tag][0].split(" ")[0] for tag in others}
    planted = {tag: encoded(tag, vr, WORD.encode()) for tag, vr in known.items() if vr in (*TEXT_VRS, *BYTE_VRS)}
    # Fifteen overlays, curves and private blocks beside them.
    repeated = [group << 16 | 0x3000 for group in (*range(0x6000, 0x601F, 2), *range(0x5000, 0x501F, 2))]
    planted |= {tag: encoded(tag, "OW", WORD.encode()) for tag in repeated}
    planted |= {0x00190010: encoded(0x00190010, "LO", WORD.encode()), 0x00191001: encoded(0x00191001, "PN", b"Quirina")}
    report = deidentify([hostile_file(tmp_path / "a.dcm", start, elements | planted)], tmp_path / "out", key=key)
    assert len(planted) > 2500
    assert (report.set_aside, report.written, report.withheld) == ([], 1, {})
    assert leaks(tmp_path / "out", WORD) == []


@pytest.mark.parametrize("secret", [WORD, DIGITS, FOREIGN])
def test_a_secret_in_each_element_that_is_kept_is_left_out_or_the_file_is(
    tmp_path: Path, elements: dict[int, bytes], start: Path, key: bytes, secret: str
) -> None:
    files = []
    for keyword, tag in KEPT.items():
        vr = DicomDictionary[tag][0].split(" ")[0]
        if vr in TEXT_VRS:
            hostile = elements | {tag: encoded(tag, vr, secret.encode())}
            files.append(hostile_file(tmp_path / f"{keyword}.dcm", start, hostile))
    report = deidentify(files, tmp_path / "out", key=key)
    assert report.written + len(report.set_aside) == len(files) > 80
    assert report.written > 60
    assert leaks(tmp_path / "out", secret) == []


def test_names_of_the_usual_places_are_gone(tmp_path: Path, start: Path, key: bytes) -> None:
    assert b"Doe" in start.read_bytes()
    assert deidentify([start], tmp_path / "out", key=key).written == 1
    known = ["Doe", "Jane", "PAT42", "ACC123", "SN0815", "ROOM2", "Who^Doctor", "20200301", "19500301", "DOE_CLINIC"]
    assert leaks(tmp_path / "out", *known) == []


def test_elements_behind_the_pixels_and_bytes_behind_the_file_stay_behind(
    tmp_path: Path, elements: dict[int, bytes], start: Path, key: bytes
) -> None:
    behind = encoded(0x00100010, "PN", WORD.encode()) + encoded(0xFFFCFFFC, "OB", WORD.encode())
    path = hostile_file(tmp_path / "a.dcm", start, elements, behind)
    assert deidentify([path], tmp_path / "out", key=key).written == 1
    assert leaks(tmp_path / "out", WORD) == []


def test_an_unknown_vr_does_no_harm(tmp_path: Path, elements: dict[int, bytes], start: Path, key: bytes) -> None:
    hostile = elements | {0x00204000: encoded(0x00204000, "ZZ", WORD.encode())}
    deidentify([hostile_file(tmp_path / "a.dcm", start, hostile)], tmp_path / "out", key=key)
    assert leaks(tmp_path / "out", WORD) == []


def deep_sequence(tag: int, depth: int = 3000) -> bytes:
    """Sequences in sequences, with a name in the innermost."""
    content = encoded(0x00100010, "PN", b"Zebrowska")
    for _ in range(depth):
        content = encoded(0x00400275, "SQ", item(content))
    return encoded(tag, "SQ", item(content))


@pytest.mark.parametrize("keyword", ["SeriesDescription", "PatientID", "ImageType", "RequestAttributesSequence"])
def test_thousands_of_nested_sequences_take_no_time(
    tmp_path: Path, elements: dict[int, bytes], start: Path, key: bytes, keyword: str
) -> None:
    tag = int(tag_for_keyword(keyword) or 0)
    path = hostile_file(tmp_path / "a.dcm", start, elements | {tag: deep_sequence(tag)})
    begin = time.perf_counter()
    report = deidentify([path], tmp_path / "out", key=key)
    assert time.perf_counter() - begin < 5  # walking through them takes minutes
    assert [entry["reason"] for entry in report.set_aside] == ["too_large"]


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ("SeriesDescription", ""),
        ("RequestAttributesSequence", ""),
        ("SharedFunctionalGroupsSequence", ""),
        ("PatientID", "no_identifier"),
        ("PatientOrientation", ""),
        ("WindowCenter", "undecodable"),
    ],
)
def test_a_name_in_nested_sequences_never_leaves(
    tmp_path: Path, elements: dict[int, bytes], start: Path, key: bytes, keyword: str, reason: str
) -> None:
    tag = int(tag_for_keyword(keyword) or 0)
    path = hostile_file(tmp_path / "a.dcm", start, elements | {tag: deep_sequence(tag, depth=6)})
    report = deidentify([path], tmp_path / "out", key=key)
    assert [entry["reason"] for entry in report.set_aside] == ([reason] if reason else [])
    assert leaks(tmp_path / "out", "Zebrowska") == []


@pytest.mark.parametrize("tag", sorted(CODE))
def test_a_view_that_cannot_be_read_is_not_taken_for_another(
    tmp_path: Path, elements: dict[int, bytes], start: Path, key: bytes, tag: int
) -> None:
    content = item(joined(CODE | {tag: deep_sequence(tag, depth=6)}))
    path = hostile_file(tmp_path / "a.dcm", start, elements | {0x00540220: encoded(0x00540220, "SQ", content)})
    report = deidentify([path], tmp_path / "out", key=key)
    assert [entry["reason"] for entry in report.set_aside] == ["unknown_view"]


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2.03", "a/b", "..", "1" * 64, "1.2\0.3"])
def test_no_uid_becomes_a_path(tmp_path: Path, elements: dict[int, bytes], start: Path, key: bytes, uid: str) -> None:
    tags = [int(tag_for_keyword(f"{level}InstanceUID") or 0) for level in ("SOP", "Study", "Series")]
    hostile = elements | {tag: encoded(tag, "UI", uid.encode()) for tag in tags}
    hostile[0x00100020] = encoded(0x00100020, "LO", b"")
    report = deidentify([hostile_file(tmp_path / "a.dcm", start, hostile)], tmp_path / "out", key=key)
    assert report.written + len(report.set_aside) == 1
    assert {file.parent.parent for file in (tmp_path / "out").rglob("*.dcm")} <= {tmp_path / "out"}
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.dcm", "out"}
