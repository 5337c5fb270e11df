"""What a leakage audit found, for a terminal, as a table and as an error."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from monai.utils import StrEnum

from ..files import write_atomically

__all__ = ["AuditFinding", "AuditReport", "Shared", "Unread"]


class Shared(StrEnum):
    """What records have in common."""

    PATIENT = "patient"
    STUDY = "study"
    FILE = "file"
    """The same file, or another one of the same content."""
    IMAGE = "image"
    """Pictures that look the same, as they are or mirrored."""


@dataclass(frozen=True)
class AuditFinding:
    """Records of several sections, or of several patients, that share something.

    Attributes:
        kind: one of :class:`Shared`.
        what: the patient, study or file that is shared; empty for pictures.
        sections: in which it is. With more than one, training and evaluation are not apart: a leak. With one, the
            same picture goes by the names of two patients, and another split may leak it.
        patients: ``dataset/patient_id`` of each patient.
        images: ``dataset/image_id`` of each record.
        distance: of pictures, the smallest in bits of the perceptual hash between two sections or patients.
        declared: the datalist declares the leak.
    """

    kind: str
    what: str
    sections: tuple[str, ...]
    patients: tuple[str, ...]
    images: tuple[str, ...]
    distance: int | None = None
    declared: bool = False

    @property
    def leak(self) -> bool:
        return len(self.sections) > 1

    def __str__(self) -> str:
        what = f"{self.kind} {self.what}" if self.what else f"pictures that look the same (distance {self.distance})"
        images = ", ".join(self.images[:4]) + (f" and {len(self.images) - 4} more" if len(self.images) > 4 else "")
        return f"{what} in {', '.join(self.sections)}: {images}"


class Unread(NamedTuple):
    """A record whose picture could not be compared, and why."""

    image: str
    reason: str


@dataclass
class AuditReport:
    """The findings of :func:`~mammo.pipeline.datasets.audit.audit`.

    Attributes:
        name: of the datalist.
        known_leak: name of the leak that the datalist declares; empty for none.
        findings: leaks and doubles, by kind.
        records: how many were audited, by section.
        compared: how many of them had their pictures compared; None where pictures were not asked for.
        unread: records whose pictures could not be.
    """

    name: str
    known_leak: str
    findings: list[AuditFinding] = field(default_factory=list)
    records: dict[str, int] = field(default_factory=dict)
    compared: int | None = None
    unread: list[Unread] = field(default_factory=list)

    @property
    def leaks(self) -> list[AuditFinding]:
        """Findings in several sections that the datalist does not declare."""
        return [finding for finding in self.findings if finding.leak and not finding.declared]

    @property
    def failed(self) -> bool:
        """Whether there is a leak that is not declared."""
        return bool(self.leaks)

    def summary(self) -> str:
        """Counts of each kind, pictures not compared and the result, as lines for a terminal."""
        counts = ", ".join(f"{count} {section}" for section, count in self.records.items())
        lines = [f"audit of {self.name}: {counts} images"]
        lines += [f"  {count} x {text}" for text, count in Counter(map(self._sort, self.findings)).items()]
        if self.compared is None:
            lines.append("  pictures were not compared")
        else:
            lines.append(f"  {self.compared} pictures compared, {len(self.unread)} could not be read")
        leaks = self.leaks
        lines.append(f"FAILED: {len(leaks)} undeclared leaks" if leaks else "passed: no undeclared leak")
        return "\n".join(lines + [f"  {finding}" for finding in leaks[:10]])

    def _sort(self, finding: AuditFinding) -> str:
        if not finding.leak:
            return f"same {finding.kind} of two patients or more in one section"
        return f"same {finding.kind} in two sections or more" + (
            f", declared as {self.known_leak}" if finding.declared else ""
        )

    def save(self, path: str | Path) -> Path:
        """Write findings, one a row, and then the pictures not read as CSV, in one move."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["kind", "what", "leak", "declared", "distance", "sections", "patients", "images"])
        for found in self.findings:
            listed = ["; ".join(names) for names in (found.sections, found.patients, found.images)]
            flags = ["yes" if flag else "no" for flag in (found.leak, found.declared)]
            writer.writerow([found.kind, found.what, *flags, "" if found.distance is None else found.distance, *listed])
        for unread in self.unread:
            writer.writerow(["unread", unread.reason, "", "", "", "", "", unread.image])
        write_atomically(path, text.getvalue().encode())
        return Path(path)

    def raise_for_leaks(self) -> None:
        """Stop where a leak is not declared.

        Raises:
            ValueError: naming the leaks and the way out.
        """
        leaks = self.leaks
        if leaks:
            more = f"; and {len(leaks) - 5} more" if len(leaks) > 5 else ""
            raise ValueError(
                f"{self.name} leaks in {len(leaks)} places: {'; '.join(map(str, leaks[:5]))}{more}. Keep what belongs "
                "together in one section, or declare the leak with 'known_leak' and 'known_leak_patients'"
            )
