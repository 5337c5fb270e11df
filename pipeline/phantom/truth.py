"""What is true of each image: one flat row for ``truth.csv``, with a report that never names the pathology."""

from typing import Any

from .views import View

_KINDS = {"mass": ("mass", "margins"), "calcification": ("calcifications", "distribution")}
_DENSITIES = {1: "A", 2: "B", 3: "C", 4: "D"}
_BREASTS = {
    1: "The breast is almost entirely fatty",
    2: "There are scattered fibroglandular densities",
    3: "The breast is heterogeneously dense",
    4: "The breast is extremely dense",
}


def _spoken(words: str) -> str:
    return " and ".join(word.replace("_", " ").lower() for word in words.split("-"))


def report(view: View) -> str:
    """One paragraph on a view, in attributes only: density, kind, shape, margins, size and place of the lesion."""
    opening = f"{view.laterality.capitalize()} breast, {view.view} view. {_BREASTS[view.case.density]}."
    if view.lesion is None:
        return f"{opening} No mass, calcifications or other abnormality."
    lesion = view.lesion
    kind, second = _KINDS[view.case.abnormality]
    down, across = (lesion.centre[k] - view.nipple[k] for k in (0, 1))
    away_mm = (down**2 + across**2) ** 0.5 * view.pixel_mm
    half = "above" if down < 0 else "below"
    first = _spoken(lesion.words.first)
    article = "an" if first[0] in "aeiou" else "a"
    found = f"There is {article}" if kind == "mass" else "There are"
    return (
        f"{opening} {found} {first} {kind}, {second} {_spoken(lesion.words.second)}, "
        f"measuring {lesion.diameter_mm:.0f} mm, {away_mm:.0f} mm from the nipple and {half} its level in the image."
    )


def truth_row(view: View, *, patient_id: str, image_id: str, path: str, split: str) -> dict[str, Any]:
    """Everything known about one image; the lesion's columns are empty where there is none."""
    case, lesion = view.case, view.lesion
    mass = case.abnormality == "mass"
    row: dict[str, Any] = {
        "patient_id": patient_id,
        "image_id": image_id,
        "path": path,
        "split": split,
        "laterality": view.laterality[0],
        "view": view.view,
        "rows": view.image.shape[0],
        "columns": view.image.shape[1],
        "pixel_mm": view.pixel_mm,
        "density": _DENSITIES[case.density],
        "device": case.device,
        "marker": case.marker,
        "photometric": "MONOCHROME1" if case.monochrome1 else "MONOCHROME2",
        "transfer_syntax": case.transfer_syntax,
        "abnormality": "" if lesion is None else case.abnormality,
        "pathology": "" if lesion is None else lesion.words.pathology,
        "ambiguous": "" if lesion is None else int(case.ambiguous),
        "report": report(view),
    }
    names = ("row0", "column0", "row1", "column1", "centre_row", "centre_column")
    numbers = ("",) * 6 if lesion is None else (*lesion.box, *lesion.centre)
    row |= dict(zip(names, numbers, strict=True))
    row |= {
        "size_mm": "" if lesion is None else round(lesion.diameter_mm, 2),
        "contrast": "" if lesion is None else round(lesion.contrast, 4),
        "mass_shape": lesion.words.first if lesion and mass else "",
        "mass_margins": lesion.words.second if lesion and mass else "",
        "calc_type": lesion.words.first if lesion and not mass else "",
        "calc_distribution": lesion.words.second if lesion and not mass else "",
        "subtlety": lesion.words.subtlety if lesion else "",
        "assessment": lesion.words.assessment if lesion else "",
    }
    return row
