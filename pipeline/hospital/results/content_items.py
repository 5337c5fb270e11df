"""Content items of a structured report, where highdicom has no template: plain datasets (PS3.3 C.17.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from .report_codes import coded

__all__ = ["by_reference", "code", "container", "image", "outline", "text", "uid_reference"]

Items = Iterable[Dataset]


def container(name: Code, children: Items, relationship: str | None = None, template: str | None = None) -> Dataset:
    """A CONTAINER; the root of a report has a template of DCMR and no relationship."""
    item = _item("CONTAINER", name, relationship, children)
    item.ContinuityOfContent = "SEPARATE"
    if template is not None:
        about = Dataset()
        about.MappingResource, about.TemplateIdentifier = "DCMR", template
        item.ContentTemplateSequence = [about]
    return item


def code(name: Code, value: Code, relationship: str, children: Items = ()) -> Dataset:
    """A CODE: a name and a coded value."""
    item = _item("CODE", name, relationship, children)
    item.ConceptCodeSequence = [coded(value)]
    return item


def text(name: Code, value: str, relationship: str) -> Dataset:
    """A TEXT of ASCII characters."""
    item = _item("TEXT", name, relationship)
    item.TextValue = value
    return item


def uid_reference(name: Code, value: str, relationship: str) -> Dataset:
    """A UIDREF."""
    item = _item("UIDREF", name, relationship)
    item.UID = value
    return item


def image(source: Dataset, relationship: str, children: Items = ()) -> Dataset:
    """An IMAGE without a name, as templates of CAD have them."""
    item = _item("IMAGE", None, relationship, children)
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    item.ReferencedSOPSequence = [reference]
    return item


def outline(
    name: Code, points: Sequence[tuple[float, float]], place: Sequence[int], relationship: str = "HAS PROPERTIES"
) -> Dataset:
    r"""An SCOORD on an image that stands elsewhere in the report: POINT for one point, else POLYLINE.

    Args:
        name: of the item.
        points: ``(column, row)``, 0\0 at the outer corner of the first pixel.
        place: of the image in the report, see :func:`by_reference`.
        relationship: to its parent.
    """
    item = _item("SCOORD", name, relationship, [by_reference(place, "SELECTED FROM")])
    item.GraphicType = "POINT" if len(points) == 1 else "POLYLINE"
    item.GraphicData = [float(value) for point in points for value in point]
    return item


def by_reference(place: Sequence[int], relationship: str) -> Dataset:
    """A relationship to an item that stands elsewhere: 1 for the root, then the number of the child at each level."""
    item = Dataset()
    item.RelationshipType = relationship
    item.ReferencedContentItemIdentifier = list(place)
    return item


def _item(value_type: str, name: Code | None, relationship: str | None, children: Items = ()) -> Dataset:
    item = Dataset()
    if relationship is not None:
        item.RelationshipType = relationship
    item.ValueType = value_type
    if name is not None:
        item.ConceptNameCodeSequence = [coded(name)]
    inner = list(children)
    if inner:
        item.ContentSequence = inner
    return item
