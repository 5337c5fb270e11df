"""pynetdicom's server with bounds that it lacks: size of a message, time for a handshake, silence for a peer."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

if TYPE_CHECKING:
    from pynetdicom.association import Association

__all__ = ["MAXIMUM_PDU", "BoundedHandler", "BoundedServer", "Meter"]

MAXIMUM_PDU = 1 << 16
"""Bytes of a P-DATA PDU that we offer to take."""

_LARGEST = 1 << 20
"""Bytes of any PDU. pynetdicom 3.0.4 buffers whatever length a header claims, before it looks at who sends it
(pynetdicom#1086); a request with 128 presentation contexts takes some 60 KB."""

_SILENCE_S = 60.0


class BoundedHandler(RequestHandler):
    """Closes a connection that announces an oversized PDU."""

    def _create_association(self) -> Association:
        association = super()._create_association()
        socket = association.dul.socket
        assert isinstance(socket, AssociationSocket)
        receive = socket.recv

        def bounded(nr_bytes: int) -> bytearray:
            if nr_bytes > _LARGEST:
                raise OSError("oversized PDU")
            return receive(nr_bytes)

        socket.recv = bounded  # type: ignore[method-assign]
        return association


class BoundedServer(ThreadedAssociationServer):
    """Does a TLS handshake in the connection's own thread, so that a silent peer holds up nobody else."""

    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection; a read from it ends after a minute of silence."""
        assert self.socket is not None
        client, address = self.socket.accept()
        client.settimeout(_SILENCE_S)
        context = self.ssl_context
        if context is not None:
            client = context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands where there is TLS, then talk."""
        if isinstance(request, ssl.SSLSocket):
            try:
                request.do_handshake()
            except OSError:  # no certificate, a foreign one, plain DICOM, or silence
                self.shutdown_request(request)
                return
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the standard library would print the traceback with its texts."""


class Meter:
    """Measures the messages of each association: pynetdicom takes one without end until disk or memory are full.

    Args:
        most_bytes: of a data set that is stored.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes: WeakKeyDictionary[Association, int] = WeakKeyDictionary()

    def exceeds(self, association: Association, pdu: Any) -> bool:
        """Count a PDU that came in; return whether its command or data set is now too long."""
        for part in getattr(pdu, "presentation_data_value_items", []):
            # The message control header (PS3.8 E.2): bit 0 marks a command, bit 1 the end of it or of its data set.
            header = part.presentation_data_value[0]
            size = self._bytes.get(association, 0) + len(part.presentation_data_value)
            stored = not header & 1 and _is_stored(association, part.presentation_context_id)
            if size > (self._most_bytes if stored else _LARGEST):
                return True
            self._bytes[association] = 0 if header & 2 else size
        return False


def _is_stored(association: Association, context_id: int) -> bool:
    """Whether a context is for storage, whose data sets go to disk; others are held in memory."""
    context = association._accepted_cx.get(context_id)
    return context is not None and context.abstract_syntax not in (Verification, StorageCommitmentPushModel)
