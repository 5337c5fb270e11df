"""A PACS over DICOMweb (PS3.18): queries, images to the spool byte by byte, objects stored as they are."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import requests
from dicomweb_client.session_utils import add_certs_to_session, create_session, create_session_from_user_pass
from dicomweb_client.web import DICOMwebClient

from .incoming import examine
from .multipart import at_most, first_part, whole
from .names import valid_uid
from .retry import DUPLICATE, PacsError, each

__all__ = ["Pacs"]

_DICOM = 'multipart/related; type="application/dicom"'
_PAGE = 200
_PASSES = (401, 407, 408, 425, 429, 502, 503, 504)
"""Status codes of a server that is busy, behind a proxy without it, or waits for the right password."""

COUNT = "NumberOfStudyRelatedInstances"

Row = Mapping[str, Any]
"""A DICOM JSON object (PS3.18 F.2)."""


class Pacs:
    """The DICOMweb services of a PACS.

    Args:
        url: of the services, such as ``https://pacs.hospital/dicom-web``.
        user: for HTTP basic authentication, with ``password``; None for none.
        password: it is never logged.
        ca: file of certificates to trust; None for those of the system.
        certificate: file with a client certificate and its key.
        timeout_s: without a byte.
        most_bytes: of one image.
    """

    confirms = True

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        ca: Path | None = None,
        certificate: Path | None = None,
        timeout_s: float = 60.0,
        most_bytes: int = 1 << 30,
    ) -> None:
        session = create_session() if user is None else create_session_from_user_pass(user, password or "")
        add_certs_to_session(session, *(None if path is None else str(path) for path in (ca, certificate)))
        self._url, self._session, self._most_bytes = url.rstrip("/"), session, most_bytes
        self._timeout = (10.0, timeout_s)
        self._client = DICOMwebClient(self._url, session=session, permissive_uid=True, timeout=self._timeout)
        self._client.set_http_retry_params(retry=False)

    def studies(self, filters: Mapping[str, str]) -> Sequence[Row]:
        """Studies that match (QIDO-RS)."""
        return _all(
            lambda **page: self._client.search_for_studies(search_filters=dict(filters), fields=[COUNT], **page),
            "0020000D",
        )

    def instances(self, study: str) -> Sequence[Row]:
        """All instances of a study (QIDO-RS)."""
        fields = ["SOPClassUID", "Manufacturer", "SeriesDescription"]
        return _all(lambda **page: self._client.search_for_instances(study, fields=fields, **page), "00080018")

    def fetch(self, study: str, series: str, instance: str, path: Path) -> None:
        """Write an instance to a file, in the transfer syntax in which the PACS has it (WADO-RS).

        Raises:
            PacsError: it does not give it.
            InstanceError: what came is too large, or no multipart message.
        """
        url = f"{self._url}/studies/{study}/series/{series}/instances/{instance}"
        accept = f"{_DICOM}; transfer-syntax=*"
        with (
            _told(),
            closing(self._session.get(url, headers={"Accept": accept}, stream=True, timeout=self._timeout)) as response,
        ):
            response.raise_for_status()
            content = first_part(response.iter_content(1 << 16), response.headers.get("Content-Type", ""))
            with open(path, "xb") as file:
                file.writelines(at_most(self._most_bytes, content))

    def send(self, paths: Sequence[Path]) -> None:
        """Store objects, each in a request of its own (STOW-RS); one that is refused does not keep the others."""
        each(paths, self._store)

    def _store(self, path: Path) -> None:
        boundary = uuid.uuid4().hex
        headers = {"Content-Type": f"{_DICOM}; boundary={boundary}", "Accept": "application/dicom+json"}
        with _told():
            body = whole(path.read_bytes(), boundary)
            response = self._session.post(f"{self._url}/studies", data=body, headers=headers, timeout=self._timeout)
            if response.status_code != 409:  # which tells in its body what was not stored
                response.raise_for_status()
            _check_stored(response)

    def confirm(self, paths: Sequence[Path], ticket: str) -> bool:
        """Whether the PACS finds every object (QIDO-RS).

        Raises:
            PacsError: it does not, or does not answer.
        """
        told = [examine(path) for path in paths]
        for study in {about.study for about in told}:
            there = {text(row, "00080018") for row in self.instances(study)}
            if not {about.instance for about in told if about.study == study} <= there:
                raise PacsError("not_found_by_query")
        return True


def text(row: Row, tag: str) -> str:
    """The first value of an element of a DICOM JSON object, empty without one."""
    values = _values(row, tag)
    return str(values[0] if values and values[0] is not None else "")


def _values(row: Any, tag: str) -> list[Any]:
    """The values of an element, none where a server's answer is not of this form."""
    element = row.get(tag) if isinstance(row, Mapping) else None
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values if isinstance(values, list) else []


def _all(ask: Callable[..., Sequence[Row]], tag: str) -> list[Row]:
    """All rows of a query, page by page, by the UID that tells them apart.

    A server may give fewer at once than it is asked for, and one that knows no pages gives the same ones for ever.
    """
    found: dict[str, Row] = {}
    while True:
        with _told():
            page = ask(limit=_PAGE, offset=len(found))
        new = {text(row, tag): row for row in page if text(row, tag) not in found}
        found |= new
        if not new:
            return list(found.values())


@contextmanager
def _told() -> Iterator[None]:
    """Turn what HTTP can do into a code: the error's own text holds the address, and that the UIDs."""
    try:
        yield
    except requests.HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        raise PacsError(f"http_{status}", passes=status in _PASSES) from error
    except requests.exceptions.SSLError as error:
        raise PacsError("tls", passes=True) from error
    except requests.Timeout as error:
        raise PacsError("pacs_timed_out", passes=True) from error
    except requests.RequestException as error:
        raise PacsError("pacs_unreachable", passes=True) from error


def _check_stored(response: requests.Response) -> None:
    """PS3.18 10.5.3: 202 and 409 say that something was not stored, and so may a sequence in the answer."""
    if response.status_code not in (200, 201, 202, 409):
        raise PacsError(f"http_{response.status_code}")
    try:
        told = response.json() if response.content else {}
    except ValueError:
        told = {}
    row = told[0] if isinstance(told, list) and told else told
    failed = [text(item, "00081197") for item in _values(row, "00081198")]
    if failed and all(reason == str(DUPLICATE) for reason in failed):
        return
    if response.status_code == 409:
        raise PacsError("http_409")
    if failed or (response.status_code == 202 and not row):
        raise PacsError("not_stored")


def listed_image(row: Row) -> tuple[str, str, str] | None:
    """Series, instance and SOP Class of a row, or None where it is no valid one."""
    series, instance, sop_class = (text(row, tag) for tag in ("0020000E", "00080018", "00080016"))
    return (series, instance, sop_class) if all(map(valid_uid, (series, instance, sop_class))) else None
