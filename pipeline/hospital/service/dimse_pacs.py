"""A PACS over DIMSE: objects go there by C-STORE, byte by byte, and it is asked to commit to them."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance  # type: ignore[attr-defined]

from .retry import DUPLICATE, PacsError, each

__all__ = ["DimsePacs"]

_STORED = (0x0000, 0xB000, 0xB006, 0xB007, DUPLICATE)
"""Success, and warnings that the object was stored all the same (PS3.4 B.2.3), or before."""
_REQUEST_COMMITMENT = 1
_SAME_ASSOCIATION_S = 1.0
"""Some PACS report about a commitment at once, in the association in which they were asked."""


class DimsePacs:
    """Where results go.

    Args:
        host: of the PACS.
        port: of the PACS.
        ae_title: of the PACS.
        ours: our AE title.
        commitment: whether it is asked for storage commitment.
        tls: for mutual TLS.
        tls_host: name in the certificate of the PACS.

    Attributes:
        report: handler of N-EVENT-REPORT.
    """

    def __init__(
        self,
        host: str,
        port: int,
        ae_title: str,
        *,
        ours: str,
        commitment: bool = True,
        tls: ssl.SSLContext | None = None,
        tls_host: str | None = None,
    ) -> None:
        self.host, self.port, self.ae_title, self.confirms = host, port, ae_title, commitment
        self._tls = None if tls is None else (tls, tls_host or host)
        self._ae = AE(ours)
        self._ae.connection_timeout, self._ae.acse_timeout = 10, 30
        self._ae.dimse_timeout, self._ae.network_timeout = 60, 60
        self.report: Callable[[evt.Event], tuple[int, None]] | None = None

    def send(self, paths: Sequence[Path]) -> None:
        """Store objects in one association; what of them is accepted goes, also where another is not.

        Raises:
            PacsError: the PACS is not there, or takes not all of them.
        """
        kinds = {path: _kind(path) for path in paths}
        contexts = [build_context(*kind) for kind in dict.fromkeys(kinds.values())]
        with self._association(contexts, "sop_class_refused") as association:
            accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
            each([path for path in paths if kinds[path] in accepted], lambda path: _store(association, path))
        if not set(kinds.values()) <= accepted:
            raise PacsError("sop_class_refused")

    def confirm(self, paths: Sequence[Path], ticket: str) -> bool:
        """Ask for storage commitment (PS3.4 J.3.2); the answer comes later.

        Raises:
            PacsError: the PACS is not there, or refuses.
        """
        ask = Dataset()
        ask.TransactionUID = ticket
        ask.ReferencedSOPSequence = [_reference(path) for path in paths]
        reported = threading.Event()

        def report(event: evt.Event) -> tuple[int, None]:
            reported.set()
            return (0x0110, None) if self.report is None else self.report(event)

        handlers = [(evt.EVT_N_EVENT_REPORT, report)]
        contexts = [build_context(StorageCommitmentPushModel)]
        with self._association(contexts, "no_storage_commitment", handlers) as association:
            status, _ = association.send_n_action(
                ask, _REQUEST_COMMITMENT, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            _check(status, (0x0000,), "commitment")
            reported.wait(_SAME_ASSOCIATION_S)
        return False

    @contextmanager
    def _association(
        self, contexts: list[PresentationContext], refused: str, handlers: Any = None
    ) -> Iterator[Association]:
        association = self._ae.associate(
            self.host, self.port, contexts, ae_title=self.ae_title, evt_handlers=handlers, tls_args=self._tls
        )
        if not association.is_established:
            # Where the PACS takes nothing of what it is offered, pynetdicom ends the association by itself.
            if association.rejected_contexts and not association.accepted_contexts:
                raise PacsError(refused)
            raise PacsError("association_rejected" if association.is_rejected else "pacs_unreachable", passes=True)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


def _kind(path: Path) -> tuple[str, str]:
    """SOP Class and transfer syntax of one of our objects."""
    meta = read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _reference(path: Path) -> Dataset:
    meta, item = read_file_meta_info(path), Dataset()
    item.ReferencedSOPClassUID = meta.MediaStorageSOPClassUID
    item.ReferencedSOPInstanceUID = meta.MediaStorageSOPInstanceUID
    return item


def _store(association: Association, path: Path) -> None:
    if not association.is_established:
        raise PacsError("pacs_aborted")
    _check(association.send_c_store(path), _STORED, "store")


def _check(status: Dataset, good: Sequence[int], what: str) -> None:
    """No status at all is a peer that broke off, as it does when it does not know our AE title."""
    code = status.get("Status")
    if code is None:
        raise PacsError("pacs_aborted")
    if code not in good:
        raise PacsError(f"{what}_{code:04x}")
