"""What all result objects share: identifiers, stamps, references to the images they are about."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ....transforms.dicom_file import open_dicom
from ..result import NOTICE, StudyResult, ViewResult

__all__ = ["MANUFACTURER", "ObjectContext", "finish"]

MANUFACTURER = "mammo"
FIRST_SERIES = 9300
"""Series Number (0020,0011) of the first kind of result: behind those of modalities and workstations."""
_MAX_PIXELS = 1 << 26
_LO = 64  # characters of a Long String


@dataclass(frozen=True)
class ObjectContext:
    """A study's result and the headers of its images.

    Attributes:
        result: what is to be said.
        headers: by SOP Instance UID, of the images that could be read, in the order of the result; pixels stay on disk.
        now: content date and time of all objects.
    """

    result: StudyResult
    headers: Mapping[str, Dataset]
    now: datetime

    @classmethod
    def of(cls, result: StudyResult, now: datetime | None = None) -> ObjectContext:
        """Read the headers of the images that a result knows."""
        known = [view for view in result.views if view.sop_instance_uid is not None]
        headers = {str(view.sop_instance_uid): open_dicom(view.path, _MAX_PIXELS) for view in known}
        return cls(result, headers, now or datetime.now().astimezone())

    @property
    def scored(self) -> list[tuple[ViewResult, Dataset]]:
        """Scored views with their headers."""
        return [
            (view, self.headers[str(view.sop_instance_uid)]) for view in self.result.scored() if view.sop_instance_uid
        ]

    @cached_property
    def algorithm(self) -> str:
        """The model's name, fit for a DICOM string."""
        return self.result.model.name[:_LO]

    @cached_property
    def version(self) -> str:
        """Version of bundle and toolkit, and the beginning of the weights' hash."""
        stamp = self.result.model
        return f"{stamp.version} (mammo {stamp.toolkit}, weights {stamp.weights_sha256[:12]})"[:_LO]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """What shapes a result, as texts."""
        stamp, result = self.result.model, self.result
        told = {"weights_sha256": stamp.weights_sha256, "bundle": stamp.bundle}
        told |= {name: str(value) for name, value in stamp.settings.items()}
        return told | ({} if result.threshold is None else {"threshold": f"{result.threshold:.6f}"})

    @property
    def equipment(self) -> dict[str, Any]:
        """The Enhanced General Equipment attributes as highdicom takes them."""
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.algorithm,
            "software_versions": self.version,
            "device_serial_number": self.result.model.weights_sha256[:16],
        }

    @property
    def contributing(self) -> list[ContributingEquipment]:
        """Contributing Equipment Sequence (0018,A001): the algorithm."""
        equipment = ContributingEquipment(
            purpose_of_reference=codes.DCM.ProcessingEquipment, contribution_description=NOTICE, **self.equipment
        )
        return [equipment]

    @property
    def identification(self) -> AlgorithmIdentificationSequence:
        """Algorithm Identification Sequence for segmentations."""
        family = codes.cid7162.ArtificialIntelligence
        return AlgorithmIdentificationSequence(
            self.algorithm, family, self.version, source=MANUFACTURER, parameters=self.parameters
        )

    def place(self, kind: str, number: int, *parts: object) -> dict[str, Any]:
        """Identifiers of one object: the same for the same job, kind and parts, and for nothing else.

        Args:
            kind: of the object; a series each.
            number: of the kind, counted from 0, for the Series Number.
            parts: what tells objects of a kind apart, such as the image they are about.
        """
        instance = 1 + list(self.headers).index(str(parts[0])) if parts else 1
        return {
            "series_instance_uid": self.uid(kind),
            "series_number": FIRST_SERIES + number,
            "sop_instance_uid": self.uid(kind, "object", *parts),
            "instance_number": instance,
        }

    def uid(self, *parts: object) -> str:
        """A UID that follows from the job and ``parts`` (PS3.5 B.2)."""
        name = "/".join(["mammo.result", self.result.job, *map(str, parts)])
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


def finish(ds: Dataset, context: ObjectContext, source: Dataset, description: str) -> Dataset:
    """Label an object as made by an algorithm, and add what highdicom leaves out.

    Args:
        ds: the object.
        context: of the study.
        source: header of an image of it.
        description: for Series Description (0008,103E), after ``AI``.
    """
    ds.SeriesDescription = f"AI {description} - research use only"[:_LO]
    for keyword in ("StudyDescription", "IssuerOfPatientID", "SpecificCharacterSet", "AccessionNumber", "StudyID"):
        if keyword in source:
            setattr(ds, keyword, source.get(keyword))
    date, time = context.now.strftime("%Y%m%d"), context.now.strftime("%H%M%S")
    for keyword, value in (("SeriesDate", date), ("SeriesTime", time), ("ContentDate", date), ("ContentTime", time)):
        setattr(ds, keyword, value)
    ds.InstanceCreationDate, ds.InstanceCreationTime = date, time
    if "Manufacturer" not in ds or not ds.Manufacturer:
        ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName, ds.SoftwareVersions = context.algorithm, context.version
    ds.DeviceSerialNumber = context.equipment["device_serial_number"]
    return ds
