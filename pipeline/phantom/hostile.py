"""DICOM files that were made to harm, from one that is whole: for tests, and for whoever wants to try a reader."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

__all__ = ["write_hostile"]

_META = 132
"""Bytes before the file meta information."""


def write_hostile(folder: str | Path, like: str | Path) -> dict[str, Path]:
    """Write hostile files, each made of the image at ``like`` or of nothing; return them by what is wrong with them."""
    whole = _encoded(_plain(like))
    start = _meta_end(whole)
    contents = {
        "a deflate bomb of a gigabyte": _deflate_bomb(like),
        "sequences three thousand deep": whole[:start] + _nested(3000) + whole[start:],
        "an identifier that is a path": _renamed(whole),
        "four billion pixels": _encoded(_plain(like), Rows=65535, Columns=65535),
        "a codestream that contradicts its header": _encoded(_compressed(like), Rows=8191, Columns=8191),
        "cut in the middle": whole[: len(whole) // 2],
        "noise behind a preamble": bytes(128) + b"DICM" + np.random.default_rng(0).bytes(1 << 16),
        "nothing": b"",
        "text": b"#!/bin/sh\necho hello\n" * 100,
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{number}.dcm" for number, name in enumerate(contents)}
    for name, content in contents.items():
        paths[name].write_bytes(content)
    return paths


def _plain(like: str | Path) -> pydicom.FileDataset:
    """The image, not compressed, under an identifier of its own."""
    ds = pydicom.dcmread(like)
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        ds.decompress(generate_instance_uid=False)
    ds.SOPInstanceUID = generate_uid()
    return ds


def _compressed(like: str | Path) -> pydicom.FileDataset:
    ds = _plain(like)
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    return ds


def _encoded(ds: pydicom.FileDataset, **changes: object) -> bytes:
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=False)
    return file.getvalue()


def _meta_end(content: bytes) -> int:
    """Where the file meta information ends: its first element, of 12 bytes, tells its length."""
    return _META + 12 + int(struct.unpack("<I", content[_META + 8 : _META + 12])[0])


def _deflate_bomb(like: str | Path) -> bytes:
    ds = _plain(like)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = _encoded(ds)
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = b"".join([*(squeezer.compress(bytes(1 << 24)) for _ in range(64)), squeezer.flush()])
    return content[: _meta_end(content)] + zeros


def _nested(depth: int) -> bytes:
    """Sequences of undefined length in one another, of an element that may hold them."""
    endless = 0xFFFFFFFF
    head = struct.pack("<HH2sHI", 0x0040, 0x0555, b"SQ", 0, endless) + struct.pack("<HHI", 0xFFFE, 0xE000, endless)
    tail = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return head * depth + tail * depth


def _renamed(whole: bytes) -> bytes:
    """The SOP Instance UID (0008,0018) as a path, of the same length."""
    place = whole.index(struct.pack("<HH2s", 0x0008, 0x0018, b"UI")) + 6
    length = struct.unpack("<H", whole[place : place + 2])[0]
    return whole[: place + 2] + b"../../../etc/cron.d/".ljust(length, b"x") + whole[place + 2 + length :]
