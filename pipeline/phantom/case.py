"""Who a synthetic patient is: everything that is drawn once and shared by her views.

The random numbers of patient ``i`` come from a stream of her own, so that she is the same in a phantom
of ten patients and of ten thousand, and whoever draws her. Pathology and kind of lesion are drawn in pairs of
patients (one benign, one malignant, both masses or both calcifications), which balances any phantom
and any split of it; everything else about a patient is drawn without looking at the pathology.
"""

from dataclasses import dataclass

import numpy as np

from .presets import Preset

MARKERS = ("plain", "framed")
DEVICES = ("digital", "film")
UNSEEN_DEVICE = "enhanced"
"""A vendor whose processing is in no phantom unless asked for: another tone curve, sharper edges, coarser noise."""
SHORTCUT_STRENGTH = 0.9
"""Probability that the shortcut's marker style follows the pathology in the training split."""

_PAIR, _PATIENT = 0, 1  # spawn keys of the two kinds of stream


@dataclass(frozen=True)
class Case:
    """One patient: her breasts, how they are imaged, and her one lesion.

    ``ambiguity`` says that the lesion looks like neither class (about one in eight). ``reach`` is the
    space around the lesion, in radii, that must be free of skin and muscle, whatever the pathology.
    """

    index: int
    malignant: bool
    abnormality: str
    ambiguous: bool
    laterality: str
    density: int
    depth_mm: float
    half_height_mm: float
    edge_mm: float
    clutter: float
    device: str
    marker: str
    monochrome1: bool
    transfer_syntax: str
    diameter_mm: float
    contrast: float
    reach: float

    @property
    def pathology(self) -> str:
        """``BENIGN`` or ``MALIGNANT``."""
        return "MALIGNANT" if self.malignant else "BENIGN"


def stream(seed: int, *key: int) -> np.random.Generator:
    """A random stream of its own for every key, the same on every platform."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def in_test_split(index: int, test_fraction: float) -> bool:
    """Whether patient ``index`` is in the test split: whole pairs, evenly spread, whatever the count."""
    pair = index // 2
    return int((pair + 1) * test_fraction) > int(pair * test_fraction)


def patient_stream(seed: int, index: int, *key: int) -> np.random.Generator:
    """Random stream of one patient, or of one part (view) of her when a key is given."""
    return stream(seed, _PATIENT, index, *key)


def draw_case(index: int, seed: int, preset: Preset, *, shortcut: bool = False, test: bool = False) -> Case:
    """Draw patient ``index``.

    Args:
        index: number of the patient, from 0.
        seed: seed of the phantom.
        preset: sizes, contrast and share of calcifications.
        shortcut: let the framed marker go with malignancy, with probability 0.9 outside the test split.
        test: the patient is in the test split, where a shortcut leads nowhere.
    """
    pair = stream(seed, _PAIR, index // 2)
    calcification = pair.random() < preset.calcification_share
    malignant = (index + int(pair.integers(2))) % 2 == 1
    rng = patient_stream(seed, index)
    framed = rng.random() < 0.5
    follows = rng.random() < SHORTCUT_STRENGTH
    if shortcut and not test:
        framed = malignant == follows
    diameter = preset.diameter_mm * np.exp(preset.spread * rng.standard_normal())
    return Case(
        index=index,
        malignant=malignant,
        abnormality="calcification" if calcification else "mass",
        ambiguous=bool(rng.random() < 0.12),
        laterality=str(rng.choice(["LEFT", "RIGHT"])),
        density=int(rng.choice([1, 2, 3, 4], p=[0.15, 0.4, 0.3, 0.15])),
        depth_mm=float(np.clip(rng.normal(88, 16), 58, 128)),
        half_height_mm=float(np.clip(rng.normal(86, 10), 66, 106)),
        edge_mm=float(rng.uniform(14, 24)),
        clutter=preset.clutter,
        device=str(rng.choice(DEVICES)),
        marker=MARKERS[int(framed)],
        monochrome1=bool(rng.random() < 0.3),
        transfer_syntax=str(rng.choice(["explicit", "rle", "jpeg2000"])),
        diameter_mm=float(np.clip(diameter, *preset.limits_mm)),
        contrast=float(preset.contrast * np.clip(rng.normal(1, 0.25), 0.5, 1.5)),
        reach=float(rng.uniform(0.5, 0.9)),
    )
