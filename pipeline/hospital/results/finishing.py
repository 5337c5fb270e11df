"""The last step of every object: whose it is, that an algorithm made it, and when."""

from __future__ import annotations

from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from ..naming import MANUFACTURER, title
from .common import ObjectContext

__all__ = ["finish"]

TIMES = {
    "SeriesDate": "SeriesTime",
    "InstanceCreationDate": "InstanceCreationTime",
    "ContentDate": "ContentTime",
    "PresentationCreationDate": "PresentationCreationTime",
    "DateOfSecondaryCapture": "TimeOfSecondaryCapture",
}
"""The first two are of every object, the others of those that highdicom gave them to."""


def finish(ds: Dataset, context: ObjectContext, description: str) -> Dataset:
    """Say whose an object is and that an algorithm made it; nothing in it is random or of the present time.

    Args:
        ds: the object.
        context: of the study.
        description: for Series Description (0008,103E), after ``AI``; the same for all objects of a kind.
    """
    with disable_value_validation():  # the patient as the images have it
        ds.update(dict(context.identity.items()))
    ds.SeriesDescription = title(description)
    date, time = context.now.strftime("%Y%m%d"), context.now.strftime("%H%M%S")
    for day, clock in TIMES.items():
        if day in ds or day in ("SeriesDate", "InstanceCreationDate"):
            setattr(ds, day, date)
            setattr(ds, clock, time)
    if not ds.get("Manufacturer"):
        ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName, ds.SoftwareVersions = context.algorithm, context.version
    ds.DeviceSerialNumber = context.equipment["device_serial_number"]
    for item in ds.get("ContributingEquipmentSequence", []):
        if "ContributionDateTime" in item:  # highdicom's own
            item.ContributionDateTime = date + time
    return ds
