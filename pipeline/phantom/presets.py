"""How hard the phantom is: sizes, contrast and the share of calcifications."""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Preset:
    """Everything about a phantom that makes its lesions easy or hard to tell apart.

    Attributes:
        diameter_mm: median diameter of a lesion (log-normal).
        spread: standard deviation of the logarithm of the diameter.
        limits_mm: least and greatest diameter.
        contrast: mean brightness that a mass adds, as a part of full scale.
        clutter: strength of the parenchyma's structure, 1 for that of a real breast.
        calcification_share: part of the patients whose lesion is a cluster of microcalcifications.
        coarseness: diameter of a single calcification, 1 for the usual 0.2 to 1 mm.
        pixel_mm: side of a pixel at the detector.
    """

    diameter_mm: float
    spread: float
    limits_mm: tuple[float, float]
    contrast: float
    clutter: float
    calcification_share: float
    coarseness: float = 1.0
    pixel_mm: float = 0.4


PRESETS = MappingProxyType(
    {
        "demo": Preset(24.0, 0.15, (16.0, 45.0), 0.24, 0.5, 0.1),
        "reports": Preset(24.0, 0.15, (16.0, 45.0), 0.24, 0.5, 0.5, coarseness=2.0),
        "subtle_reports": Preset(24.0, 0.15, (16.0, 45.0), 0.16, 0.8, 0.5, coarseness=2.0),
        "standard": Preset(14.0, 0.3, (7.0, 45.0), 0.12, 1.0, 0.4),
    }
)
"""``demo`` is the easiest one, made for small networks; ``reports``, for what reports tell, has as many clusters as
masses, and coarser ones, which survive in a small picture;
``subtle_reports`` hides them better, so that few labels do not suffice; ``standard`` is the one for claims."""


def preset_named(name: str) -> Preset:
    """Look a preset up.

    Raises:
        ValueError: for a name that is not in ``PRESETS``.
    """
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} is unknown; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
