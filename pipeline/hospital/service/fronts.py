"""The two services, from their settings."""

from __future__ import annotations

import os

from .arrivals import Arrivals
from .service import Front, Service, open_desk
from .settings import DicomwebSettings, DimseSettings
from .worker import Work

__all__ = ["serve_dicomweb", "serve_dimse"]


def serve_dicomweb(settings: DicomwebSettings, work: Work) -> None:
    """Ask a PACS for studies, until told to stop.

    Args:
        settings: of the site; user and password are in MAMMO_PACS_USER and MAMMO_PACS_PASSWORD.
        work: what the worker process does.
    """
    from .dicomweb import Fetcher, Poller
    from .web import Pacs

    pacs = Pacs(
        settings.url,
        user=os.environ.get("MAMMO_PACS_USER"),
        password=os.environ.get("MAMMO_PACS_PASSWORD"),
        ca=settings.ca,
        certificate=settings.certificate,
        most_bytes=settings.max_instance_mb << 20,
    )
    with open_desk(settings, echo=True) as desk:
        service = Service(desk, settings, work, pacs)
        poller = Poller(
            desk,
            service.arrivals,
            pacs,
            filters=settings.filter,
            poll_s=settings.poll_s,
            look_back_days=settings.look_back_days,
        )
        service.run(Front({"poller": poller.step}, Fetcher(desk, pacs)))


def serve_dimse(settings: DimseSettings, work: Work) -> None:
    """Take what a PACS sends, until told to stop.

    Args:
        settings: of the site.
        work: what the worker process does.
    """
    from .dimse import Scp, configure_pynetdicom
    from .dimse_pacs import DimsePacs
    from .tls import tls_contexts

    files = settings.tls_certificate, settings.tls_key, settings.tls_ca
    server_tls, client_tls = tls_contexts(*filter(None, files)) if all(files) else (None, None)
    pacs = DimsePacs(
        settings.pacs_host,
        settings.pacs_port,
        settings.pacs_ae_title,
        ours=settings.ae_title,
        commitment=settings.commitment,
        tls=client_tls,
        tls_host=settings.tls_host,
    )
    with open_desk(settings, echo=True) as desk:
        configure_pynetdicom(desk.spool.incoming)
        service = Service(desk, settings, work, pacs, settings.commitment_wait_s)
        scp = Scp(
            desk,
            Arrivals(desk.jobs.table, ""),
            service.sender.answered,
            ae_title=settings.ae_title,
            allowed=settings.allowed,
            associations=settings.associations,
            most_bytes=settings.max_instance_mb << 20,
        )
        pacs.report = scp.report
        service.run(Front({}, open=lambda: scp.open(settings.host, settings.port, server_tls)))
