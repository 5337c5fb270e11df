"""What all result objects share: identifiers, stamps, references to the images they are about."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ....transforms.dicom_file import open_dicom
from ....transforms.geometry import Box
from ..naming import MANUFACTURER
from ..result import NOTICE, Pictures, StudyResult, ViewResult
from .kinds import SERIES_NUMBERS
from .source import identity_of, image_facts, predecessor_of, same_owner
from .wording import ascii_text, hanging

__all__ = ["Mark", "ObjectContext"]

_MAX_PIXELS = 1 << 26
_LEFT = 10  # added to the Series Number where a kind has a series for each breast
_LO = 64  # characters of a Long String


class Mark(NamedTuple):
    """A region of a view, as far as it lies in the image.

    Attributes:
        number: from 1, hottest first.
        box: ``(row0, col0, row1, col1)``, half-open, in rows and columns as stored.
        score: hottest value of the map in it, in [0, 1] of the map's own range.
    """

    number: int
    box: Box
    score: float


@dataclass(frozen=True)
class ObjectContext:
    """A study's result and what is known of its images.

    Attributes:
        result: what is to be said.
        headers: by SOP Instance UID, what :func:`~mammo.pipeline.hospital.results.source.image_facts` took over from
            the images of one patient and one study, in hanging order.
        identity: of that patient and study.
        now: content date and time of all objects.
        predecessor: identifiers of the report of an earlier result of this study, None without.
    """

    result: StudyResult
    headers: Mapping[str, Dataset]
    identity: Dataset
    now: datetime
    predecessor: Dataset | None = None

    @classmethod
    def of(cls, result: StudyResult, now: datetime | None = None, predecessor: Path | None = None) -> ObjectContext:
        """Read the headers of the images that a result knows.

        An object belongs to one patient and one study. Where images were mixed up, that of the first image gets the
        objects, which refer to its images only.

        Raises:
            MammogramError: an image is no longer where it was.
        """
        headers: dict[str, Dataset] = {}
        identity = Dataset()
        for view in sorted(result.views, key=hanging):
            if view.sop_instance_uid is None:
                continue
            header = open_dicom(view.path, _MAX_PIXELS)
            owner = identity_of(header)
            identity = identity if headers else owner
            if same_owner(owner, identity):
                headers[str(view.sop_instance_uid)] = image_facts(header)
        moment = now or datetime.now()
        # DICOM's times are those of the clock on the wall, unless an object says otherwise.
        moment = moment.astimezone().replace(tzinfo=None) if moment.tzinfo else moment
        earlier = None if predecessor is None else predecessor_of(predecessor, identity)
        return cls(result, headers, identity, moment, earlier)

    @cached_property
    def views(self) -> list[ViewResult]:
        """All images of the result in hanging order: the order of files must change no byte."""
        return sorted(self.result.views, key=hanging)

    @cached_property
    def known(self) -> list[tuple[ViewResult, Dataset]]:
        """Images that objects can refer to, with what is known of them."""
        return [
            (view, self.headers[str(view.sop_instance_uid)])
            for view in self.views
            if view.sop_instance_uid in self.headers
        ]

    @cached_property
    def scored(self) -> list[tuple[ViewResult, Dataset]]:
        """Of these the ones with a score."""
        return [(view, source) for view, source in self.known if view.probability is not None]

    def pictures(self, view: ViewResult) -> Pictures:
        """Small image, mask and map of a scored view.

        Raises:
            ValueError: the result was read from a record, which has none.
        """
        found = self.result.pictures.get(str(view.sop_instance_uid))
        if found is None:
            raise ValueError(f"the result has no pictures of {view.name}; process the study again to draw them")
        return found

    def marks(self, view: ViewResult) -> list[Mark]:
        """Regions of a view, cut to the image: the network's grid may reach beyond it."""
        source = self.headers[str(view.sop_instance_uid)]
        rows, columns = int(source.Rows), int(source.Columns)
        found = []
        for number, region in enumerate(view.regions, start=1):
            row0, col0, row1, col1 = region.box
            box = max(row0, 0.0), max(col0, 0.0), min(row1, float(rows)), min(col1, float(columns))
            if box[0] < box[2] and box[1] < box[3]:
                found.append(Mark(number, box, region.score))
        return found

    @cached_property
    def algorithm(self) -> str:
        """The model's name, fit for a DICOM string."""
        return ascii_text(self.result.model.name)[:_LO]

    @cached_property
    def version(self) -> str:
        """Version of bundle and toolkit, and the beginning of the weights' hash."""
        stamp = self.result.model
        return ascii_text(f"{stamp.version} (mammo {stamp.toolkit}, weights {stamp.weights_sha256[:12]})")[:_LO]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """What shapes a result, as texts."""
        stamp, result = self.result.model, self.result
        told = {"weights_sha256": stamp.weights_sha256, "bundle": stamp.bundle}
        told |= {name: str(value) for name, value in stamp.settings.items()}
        told |= {} if result.threshold is None else {"threshold": f"{result.threshold:.6f}"}
        return {ascii_text(name): ascii_text(value) for name, value in told.items()}

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

    def place(self, kind: str, view: ViewResult | None = None, *, side: str = "") -> dict[str, Any]:
        """Identifiers of an object: the same for the same job, kind and image, and for nothing else.

        Args:
            kind: of the object; a series each.
            view: what it is about, None for the study.
            side: L or R where a series may have one breast only, as Laterality (0020,0060) asks.
        """
        uid = None if view is None else str(view.sop_instance_uid)
        return {
            "series_instance_uid": self.uid(kind, side) if side else self.uid(kind),
            "series_number": SERIES_NUMBERS[kind] + (_LEFT if side == "L" else 0),
            "sop_instance_uid": self.uid(kind, "object", *([] if uid is None else [uid])),
            "instance_number": 1 if uid is None else 1 + list(self.headers).index(uid),
        }

    def uid(self, *parts: object) -> str:
        """A UID that follows from the job, how it ended, and ``parts`` (PS3.5 B.2).

        A job that failed may be done again: its second answer must not look like the first one sent twice.
        """
        name = "/".join(["mammo.result", self.result.job, str(self.result.status.value), *map(str, parts)])
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"
