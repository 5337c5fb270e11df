"""FLARE's simulator talks to its processes over TCP, unencrypted and without a password: only loopback may be there."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import sys

__all__ = ["only_loopback"]


def only_loopback() -> None:
    """Bring loopback up in an empty network namespace; end the process where other machines can be reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with contextlib.suppress(PermissionError):  # not ours to change: it is up already
            # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
            fcntl.ioctl(probe, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation; UDP sends nothing yet
        except OSError:
            return
    sys.exit(
        "federated-check: other machines can be reached from here; `make federated-check` closes the network first"
    )
