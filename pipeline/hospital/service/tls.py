"""Mutual TLS for DIMSE (PS3.15 B.9): both sides show a certificate of an authority that the site names."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

__all__ = ["PASSWORD_VARIABLE", "tls_contexts"]

PASSWORD_VARIABLE = "MAMMO_TLS_PASSWORD"
"""Environment variable of the key's passphrase."""


def tls_contexts(certificate: Path, key: Path, ca: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts for who calls us and for whom we call, TLS 1.2 and later.

    Args:
        certificate: ours.
        key: of our certificate; a passphrase is in MAMMO_TLS_PASSWORD.
        ca: who signed the certificates that are accepted.

    Raises:
        ValueError: files that are no certificate, do not belong together, or whose passphrase is wrong.
    """
    contexts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in contexts:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # A function, or OpenSSL asks the terminal where there is no passphrase.
            context.load_cert_chain(certificate, key, password=lambda: os.environ.get(PASSWORD_VARIABLE, ""))
            context.load_verify_locations(ca)
        except (ssl.SSLError, OSError) as error:
            raise ValueError(
                f"{certificate}, {key} or {ca} cannot be used for TLS ({getattr(error, 'reason', None)}); expected PEM "
                f"files of one certificate and its key, the passphrase if any in {PASSWORD_VARIABLE}"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return contexts
