"""From stored values to [0, 1]: modality LUT, VOI, polarity and padding of DICOM as one table.

A mammogram stores 8 or 16 bits a pixel, so the whole chain of PS3.3 is computed once for every possible bit
pattern, in float64, and the pixels are looked up. No value is treated by a rule of its own, a value beyond
Bits Stored included, and nothing is quantised to 8 bits on the way.
"""

from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset

__all__ = ["Grayscale", "grayscale_table", "voi_count"]


class Grayscale(NamedTuple):
    """``table`` maps each bit pattern (as an unsigned index) to float32 in [0, 1], 0 = air and black.

    ``voi`` names the contrast step that was applied: ``"window:0"``, ``"lut:0"`` or ``"none"``.
    """

    table: np.ndarray
    voi: str


class _Curve(NamedTuple):
    """Values and the range that stands for black and white before polarity."""

    values: np.ndarray
    low: float
    high: float

    def unit(self) -> np.ndarray:
        span = self.high - self.low
        return np.clip((self.values - self.low) / span, 0, 1) if span else np.zeros_like(self.values)


def grayscale_table(header: Dataset, voi: str | int = "auto") -> Grayscale:
    """Build the table from stored bit patterns to [0, 1].

    1. Stored values: two's complement where Pixel Representation (0028,0103) is 1. A value beyond Bits
       Stored (0028,0101) saturates; a signed value that was not sign-extended is.
    2. Modality LUT Sequence (0028,3000), else Rescale Slope and Intercept.
    3. VOI, PS3.3 C.11.2. The alternatives of a file are its VOI LUT Sequence items, then its windows;
       ``"auto"`` takes the first, an integer that one, ``"none"`` none. The output range of the window or
       LUT becomes [0, 1]; without either it is the full range of Bits Stored, never that of the image.
    4. Polarity, after VOI. MONOCHROME1 is turned over. Presentation LUT Shape (2050,0020) repeats what
       Photometric Interpretation says and is not applied a second time. For raw images (FOR PROCESSING)
       Pixel Intensity Relationship Sign (0028,1041) decides where it is given, and counts that are linear
       in exposure and have no VOI become log-attenuation: ``1 - log(1 + x) / log(1 + x_max)``.
    5. Pixel Padding Value (0028,0120) up to Pixel Padding Range Limit (0028,0121) becomes 0.

    Args:
        header: a dataset with the Image Pixel module; pixel data is not looked at.
        voi: ``"auto"``, ``"none"`` or the index of an alternative.

    Raises:
        ValueError: for a ``voi`` that the file does not hold, or a window that PS3.3 forbids.
    """
    stored = _stored_values(header)
    signed, bits = bool(header.PixelRepresentation), int(header.BitsStored)
    first = -(1 << (bits - 1)) if signed else 0
    curve = _modality(header, np.clip(stored, first, first + (1 << bits) - 1), first, bits)
    unit, name = _voi(header, curve, voi)
    if _is_raw(header) and name == "none":
        unit = _raw(header, curve)
    elif _inverted(header):
        unit = 1 - unit
    unit[_padding(header, stored)] = 0
    return Grayscale(unit.astype(np.float32), name)


def voi_count(header: Dataset) -> int:
    """Number of VOI alternatives: VOI LUT Sequence items, then windows."""
    return len(header.get("VOILUTSequence") or []) + len(_windows(header))


def _stored_values(header: Dataset) -> np.ndarray:
    """Return the stored value of each bit pattern of Bits Allocated, as float64."""
    pattern = np.arange(1 << int(header.BitsAllocated))
    if not header.PixelRepresentation:
        return pattern.astype(np.float64)
    bits = int(header.BitsStored)
    value = np.where(pattern >= len(pattern) // 2, pattern - len(pattern), pattern)
    not_extended = (value >= 1 << (bits - 1)) & (value < 1 << bits)
    return np.where(not_extended, value - (1 << bits), value).astype(np.float64)


def _modality(header: Dataset, stored: np.ndarray, first: int, bits: int) -> _Curve:
    if header.get("ModalityLUTSequence"):
        return _lut(header.ModalityLUTSequence[0], stored, signed_input=bool(header.PixelRepresentation))
    slope, intercept = float(header.get("RescaleSlope", 1) or 1), float(header.get("RescaleIntercept", 0) or 0)
    ends = sorted((first * slope + intercept, (first + (1 << bits) - 1) * slope + intercept))
    return _Curve(stored * slope + intercept, *ends)


def _voi(header: Dataset, curve: _Curve, voi: str | int) -> tuple[np.ndarray, str]:
    luts, windows = header.get("VOILUTSequence") or [], _windows(header)
    count = len(luts) + len(windows)
    if voi == "none" or (voi == "auto" and not count):
        return curve.unit(), "none"
    index = 0 if voi == "auto" else int(voi)
    if not 0 <= index < count:
        raise ValueError(f"voi={index}, but the file holds {count} VOI alternatives; choose voi='auto' or 'none'")
    if index < len(luts):
        signed_input = curve.low < 0
        return _lut(luts[index], curve.values, signed_input).unit(), f"lut:{index}"
    center, width = windows[index - len(luts)]
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    return _window(curve.values, center, width, function), f"window:{index - len(luts)}"


def _windows(header: Dataset) -> list[tuple[float, float]]:
    centers, widths = (_numbers(header, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    return list(zip(centers, widths, strict=False))


def _window(x: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """Apply a window of PS3.3 C.11.2.1.2 and C.11.2.1.3 with an output range of [0, 1]."""
    least = 1 if function == "LINEAR" else np.finfo(np.float64).tiny
    if not width >= least or not np.isfinite([center, width]).all():
        raise ValueError(
            f"Window Center/Width {center}/{width} is not allowed for VOI LUT Function {function} "
            "(PS3.3 C.11.2.1); choose another index or voi='none'"
        )
    if function == "SIGMOID":
        # Beyond +-700 exp overflows; the sigmoid is 0 or 1 to the last bit well before.
        return 1 / (1 + np.exp(np.clip(-4 * (x - center) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((x - center) / width + 0.5, 0, 1)
    if function != "LINEAR":
        raise ValueError(f"VOI LUT Function '{function}' is unknown; expected LINEAR, LINEAR_EXACT or SIGMOID")
    if width == 1:
        return (x > center - 0.5).astype(np.float64)
    return np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _lut(item: Dataset, x: np.ndarray, signed_input: bool) -> _Curve:
    """Look ``x`` up in a LUT item (PS3.3 C.11.1.1); its ends continue beyond its range."""
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    count = count or 1 << 16
    if signed_input and first >= 1 << 15:
        first -= 1 << 16
    entries = _lut_entries(item.LUTData)
    if not 8 <= bits <= 16 or entries.size < count:
        raise ValueError(f"LUT Descriptor {list(item.LUTDescriptor)} does not fit its {entries.size} entries")
    index = np.clip(np.rint(x) - first, 0, count - 1).astype(np.intp)
    return _Curve(entries[:count][index].astype(np.float64), 0, (1 << bits) - 1)


def _lut_entries(data: object) -> np.ndarray:
    # LUT Data is US or OW; pydicom leaves OW as little-endian bytes and one US value as a bare int.
    if isinstance(data, bytes):
        return np.frombuffer(data, "<u2")
    return np.atleast_1d(np.asarray(data, dtype=np.int64))


def _is_raw(header: Dataset) -> bool:
    return str(header.get("PresentationIntentType", "")).upper() == "FOR PROCESSING"


def _inverted(header: Dataset) -> bool:
    sign = header.get("PixelIntensityRelationshipSign")
    if _is_raw(header) and sign in (1, -1):
        return sign == 1  # larger values are more exposure, that is air
    return bool(header.PhotometricInterpretation == "MONOCHROME1")


def _raw(header: Dataset, curve: _Curve) -> np.ndarray:
    if not _inverted(header):
        return curve.unit()
    if str(header.get("PixelIntensityRelationship", "")).upper() != "LIN":
        return 1 - curve.unit()
    counts = np.clip(curve.values, curve.low, curve.high) - curve.low
    return 1 - np.log1p(counts) / np.log1p(curve.high - curve.low)


def _padding(header: Dataset, stored: np.ndarray) -> np.ndarray:
    ends = [int(header[k].value) for k in ("PixelPaddingValue", "PixelPaddingRangeLimit") if header.get(k) is not None]
    if not ends or header.get("PixelPaddingValue") is None:
        return np.zeros(len(stored), dtype=bool)
    return (stored >= min(ends)) & (stored <= max(ends))


def _numbers(header: Dataset, keyword: str) -> list[float]:
    value = header.get(keyword)
    if value is None or value == "":
        return []
    return [float(v) for v in (value if hasattr(value, "__iter__") and not isinstance(value, str) else [value])]
