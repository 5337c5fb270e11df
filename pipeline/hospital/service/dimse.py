"""The front that a PACS sends to: takes every storage class, keeps mammograms, answers only who is named."""

from __future__ import annotations

import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from .arrivals import Arrivals
from .desk import Desk
from .incoming import MAMMOGRAMS, InstanceError, examine, may_stay
from .negotiation import offer_storage
from .transport import MAXIMUM_PDU, BoundedHandler, BoundedServer, Meter

__all__ = ["Scp", "configure_pynetdicom"]

SUCCESS, OUT_OF_RESOURCES, DOES_NOT_MATCH, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000
"""Status (0000,0900) of C-STORE (PS3.4 B.2.3)."""
_ALL_COMMITTED = 1
"""Event Type ID (0000,1002) of a report that names no failure (PS3.4 J.3.3)."""
_TELL_REFUSALS_S = 60.0


def configure_pynetdicom(incoming: Path) -> None:
    """Settings of the library, for the whole process.

    Args:
        incoming: folder of files that are being received, in the file system of the spool.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.ENFORCE_UID_CONFORMANCE = True
    _config.STORE_RECV_CHUNKED_DATASET = True
    _config.STORE_SEND_CHUNKED_DATASET = True
    tempfile.tempdir = str(incoming)


class Scp:
    """A storage SCP.

    Args:
        desk: what it works on.
        arrivals: what it tells the job table.
        answered: takes the PACS's answer about what it has: UID of the question, and how many objects it lacks;
            returns whether the question was known.
        ae_title: ours.
        allowed: AE titles that may call.
        associations: at once, at most.
        most_bytes: of one object.
    """

    def __init__(
        self,
        desk: Desk,
        arrivals: Arrivals,
        answered: Callable[[str, int], bool],
        *,
        ae_title: str,
        allowed: Sequence[str],
        associations: int = 10,
        most_bytes: int = 1 << 30,
    ) -> None:
        self.desk, self._arrivals, self._answered, self._meter = desk, arrivals, answered, Meter(most_bytes)
        self._refused, self._refusals_told = 0, -_TELL_REFUSALS_S
        self.ae = AE(ae_title)
        self.ae.require_calling_aet = list(allowed)
        self.ae.require_called_aet = True
        self.ae.maximum_associations, self.ae.maximum_pdu_size = associations, MAXIMUM_PDU
        self.ae.acse_timeout, self.ae.dimse_timeout, self.ae.network_timeout = 30, 60, 120
        self.ae.add_supported_context(Verification)
        # The PACS that reports about a commitment takes the role of its SCP in an association of its own.
        self.ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)

    def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> Callable[[], None]:
        """Listen.

        Args:
            host: address to listen on.
            port: 0 for any that is free.
            tls: for mutual TLS.

        Returns:
            What ends it.

        Raises:
            ValueError: the address cannot be listened on.
        """
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, lambda event: offer_storage(event.assoc)),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_PDU_RECV, self._count),
            (evt.EVT_C_ECHO, lambda event: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self.report),
        ]
        try:
            server = self.ae.make_server(
                (host, port),
                ssl_context=tls,
                evt_handlers=handlers,
                server_class=BoundedServer,
                request_handler=BoundedHandler,
            )
        except OSError as error:
            raise ValueError(f"cannot listen on {host}:{port}: {error.strerror}; see --host and --port") from error
        self.ae._servers.append(server)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.desk.log.say("listening", port=self.port, tls=tls is not None)
        return server.shutdown

    def _rejected(self, event: evt.Event) -> None:
        # Anybody can have connections refused, as fast as he likes: the audit trail must not grow as fast.
        self._refused += 1
        if (now := time.monotonic()) - self._refusals_told >= _TELL_REFUSALS_S:
            self.desk.log.say(
                "association_rejected", audit=True, peer=event.assoc.requestor.ae_title, refused=self._refused
            )
            self._refused, self._refusals_told = 0, now

    def _count(self, event: evt.Event) -> None:
        if self._meter.exceeds(event.assoc, event.pdu):
            self.desk.log.say("association_aborted", audit=True, reason="too_large")
            event.assoc.abort()

    def _store(self, event: evt.Event) -> int:
        """Answer success only once the image is on disk and in the table."""
        path, request = event.dataset_path, event.request
        if not isinstance(request, C_STORE) or str(request.AffectedSOPClassUID) not in MAMMOGRAMS:
            return SUCCESS
        try:
            about = examine(path)
            if about.instance != str(request.AffectedSOPInstanceUID):
                return DOES_NOT_MATCH
            if may_stay(about.sop_class, about.ours):
                self._keep(path, about.study, about.instance, about.patient)
        except InstanceError as error:
            self.desk.log.say("image_refused", audit=True, reason=error.reason)
            return CANNOT_UNDERSTAND
        except Exception as error:
            self.desk.log.error("not_stored", error)
            return OUT_OF_RESOURCES
        return SUCCESS

    def _keep(self, path: Path, study: str, instance: str, patient: str) -> None:
        desk, names = self.desk, self.desk.names
        keys = names.study(study), names.instance(instance)
        # Together: what deletes old studies must not come between file and row.
        with desk.jobs.table.transaction():
            desk.spool.adopt(path, *keys)
            new = self._arrivals.received(*keys, uid=study, instance=instance, patient=names.patient(patient))
        desk.log.say("image_received", study=keys[0], image=keys[1], new=new)

    def report(self, event: evt.Event) -> tuple[int, None]:
        """Take a report about storage commitment (PS3.4 J.3.3)."""
        told = event.event_information
        missing = len(told.get("FailedSOPSequence") or [])
        if event.event_type != _ALL_COMMITTED:
            missing = max(1, missing)  # it says so, though not of which
        known = self._answered(str(told.get("TransactionUID", "")), missing)
        self.desk.log.say("commitment_reported", missing=missing, known=known)
        return SUCCESS, None
