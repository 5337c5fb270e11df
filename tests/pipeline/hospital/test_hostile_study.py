"""Hostile files in a study: refused within seconds, without the memory that they ask for; the rest is read."""

import io
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from mammo.pipeline.hospital.decode import Limits, isolated
from mammo.pipeline.hospital.result import StudyStatus
from mammo.pipeline.hospital.study import StudyEngine
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

from .conftest import paths_of

SECONDS, MEGABYTES = 5.0, 1024


def nested(depth: int) -> bytes:
    """Sequences of undefined length in one another, of an element that may hold them."""
    head = struct.pack("<HH2sHI", 0x0040, 0x0555, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    tail = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return head * depth + tail * depth


def encoded(ds: pydicom.Dataset, **changes) -> bytes:
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=False)
    return file.getvalue()


def renamed(whole: bytes) -> bytes:
    """The SOP Instance UID (0008,0018) as a path, of the same length."""
    place = whole.index(struct.pack("<HH2s", 0x0008, 0x0018, b"UI")) + 6
    length = struct.unpack("<H", whole[place : place + 2])[0]
    path = b"../../../etc/cron.d/".ljust(length, b"x")
    return whole[: place + 2] + path + whole[place + 2 + length :]


@pytest.fixture(scope="module")
def hostile(exam, tmp_path_factory) -> dict[str, Path]:
    """Files by what is wrong with them."""
    folder = tmp_path_factory.mktemp("hostile")

    def plain() -> pydicom.FileDataset:
        ds = pydicom.dcmread(exam[0].path)
        if ds.file_meta.TransferSyntaxUID.is_compressed:
            ds.decompress(generate_instance_uid=False)
        ds.SOPInstanceUID = generate_uid()
        return ds

    whole = encoded(plain())
    deflated = plain()
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join([*(squeezer.compress(bytes(1 << 24)) for _ in range(64)), squeezer.flush()])
    meta_end = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    meta = encoded(deflated)[: 132 + 12 + struct.unpack("<I", encoded(deflated)[140:144])[0]]
    wide = plain()
    wide.compress(JPEG2000Lossless, generate_instance_uid=False)
    contents = {
        "a deflate bomb of a gigabyte": meta + bomb,
        "sequences three thousand deep": whole[:meta_end] + nested(3000) + whole[meta_end:],
        "an identifier that is a path": renamed(whole),
        "four billion pixels": encoded(plain(), Rows=65535, Columns=65535),
        "a codestream that contradicts its header": encoded(wide, Rows=8191, Columns=8191),
        "cut in the middle": whole[: len(whole) // 2],
        "noise behind a preamble": bytes(128) + b"DICM" + np.random.default_rng(0).bytes(1 << 16),
        "nothing": b"",
        "text": b"#!/bin/sh\necho hello\n" * 100,
    }
    paths = {}
    for number, (name, content) in enumerate(contents.items()):
        paths[name] = folder / f"{number}.dcm"
        paths[name].write_bytes(content)
    return paths


def worker_peak_mb() -> float:
    """Largest resident memory that a child of this process has ever had."""
    peaks = [0.0]
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        for child in (task / "children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            peaks += [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    return max(peaks)


def test_hostile_files_cost_neither_time_nor_memory_nor_the_study(model, exam, hostile):
    engine = StudyEngine(model, decode=isolated(model.transform, Limits(seconds=SECONDS, memory_mb=MEGABYTES)))
    assert engine.process(paths_of(exam)).status == StudyStatus.ANALYSED  # the process is there now
    before = worker_peak_mb()
    for name, path in hostile.items():
        begin = time.monotonic()
        result = engine.process([path])
        assert time.monotonic() - begin < SECONDS, name
        assert result.status == StudyStatus.NOT_ANALYSED, name
    assert worker_peak_mb() - before < MEGABYTES
    mixed = engine.process([*hostile.values(), *paths_of(exam)])
    assert mixed.status == StudyStatus.ANALYSED
    assert len(mixed.scored()) == 4
    refused = [view for view in mixed.views if view.probability is None]
    assert len(refused) + mixed.others == len(hostile)
    assert all(view.reasons for view in refused)
