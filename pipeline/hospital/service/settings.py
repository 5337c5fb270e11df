"""Everything that a site can set, with what each means; the command line and the YAML file have the same names."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Union

__all__ = ["DicomwebSettings", "DimseSettings", "Settings", "kind_of"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of both fronts."""

    folder: Annotated[Path, "of the service: images, results, job table, key and logs; one service each"]
    checkpoint: Annotated[Path, "checkpoints/best.pt of a finetune run, or an exported bundle"]
    operating_points: Annotated[Path | None, "of an evaluation; by default that in the run folder"] = None
    gate: Annotated[str, "what is refused: deploy, training (less strict) or all"] = "deploy"
    results: Annotated[list[str] | None, "DICOM objects to make, such as sr overlay presentation"] = None
    quantile: Annotated[float, "of the map in the breast, above which is a region"] = 0.95
    device: Annotated[str, "where the network runs"] = "cpu"
    threads: Annotated[int, "of the network"] = 1
    memory_mb: Annotated[int, "that one study may take beyond the loaded model"] = 4096
    timeout_s: Annotated[float, "that one study may take"] = 600.0
    quiet_s: Annotated[float, "without a new image, after which a study is taken as whole"] = 60.0
    max_wait_s: Annotated[float, "since the first image, after which a study is processed as it is"] = 1800.0
    first_wait_s: Annotated[float, "after the first failure; doubled with each further one"] = 10.0
    most_wait_s: Annotated[float, "longest wait after a failure"] = 600.0
    attempts: Annotated[int, "of fetching and sending, when the PACS says no; a PACS that is down is waited for"] = 20
    compute_attempts: Annotated[int, "of processing a study, after which it is answered as failed"] = 3
    retention_days: Annotated[float, "that images and results stay after the PACS has the results"] = 2.0
    dead_days: Annotated[float, "that images and results stay of studies that were given up, or kept"] = 30.0
    shadow: Annotated[bool, "compute and keep, do not send: for the acceptance of a site"] = False
    health_port: Annotated[int | None, "for /health and /ready on 127.0.0.1; none by default"] = None


@dataclass(frozen=True, kw_only=True)
class DicomwebSettings(Settings):
    """Of the front that asks a PACS, and opens no port."""

    url: Annotated[str, "of the PACS's DICOMweb services, such as https://pacs.hospital/dicom-web"]
    filter: Annotated[dict[str, str], "QIDO-RS filters, as KEYWORD=VALUE"] = field(
        default_factory=lambda: {"ModalitiesInStudy": "MG"}
    )
    look_back_days: Annotated[int | None, "how old a study's date may be; null for any"] = 2
    poll_s: Annotated[float, "between two questions to the PACS"] = 15.0
    ca: Annotated[Path | None, "certificates to trust, PEM; those of the system by default"] = None
    certificate: Annotated[Path | None, "our certificate with its key, PEM, where the PACS asks for one"] = None
    max_instance_mb: Annotated[int, "largest image that is fetched"] = 1024


@dataclass(frozen=True, kw_only=True)
class DimseSettings(Settings):
    """Of the front that a PACS sends to."""

    ae_title: Annotated[str, "ours"] = "MAMMO"
    host: Annotated[str, "address to listen on: that in the PACS's network, never 0.0.0.0 unprotected"] = "127.0.0.1"
    port: Annotated[int, "to listen on"] = 11112
    allowed: Annotated[list[str], "AE titles that may send"]
    pacs_ae_title: Annotated[str, "AE title of the PACS"]
    pacs_host: Annotated[str, "address of the PACS"]
    pacs_port: Annotated[int, "of the PACS"] = 104
    commitment: Annotated[bool, "ask for storage commitment before anything is deleted"] = True
    commitment_wait_s: Annotated[float, "after which it is asked for again"] = 600.0
    associations: Annotated[int, "at once, at most"] = 10
    max_instance_mb: Annotated[int, "largest image that is kept"] = 1024
    tls_certificate: Annotated[Path | None, "ours, PEM; turns TLS on, in both directions"] = None
    tls_key: Annotated[Path | None, "of our certificate, PEM"] = None
    tls_ca: Annotated[Path | None, "who signed the certificates that are accepted, PEM"] = None
    tls_host: Annotated[str | None, "name in the certificate of the PACS; pacs_host by default"] = None


def kind_of(hint: Any) -> tuple[type, bool, bool]:
    """What a setting holds.

    Args:
        hint: its type.

    Returns:
        The plain type (of a list's or dictionary's entries), whether there are several, and whether it may be None.
    """
    options = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, Union) else (hint,)
    plain = next(option for option in options if option is not type(None))
    several = typing.get_origin(plain) in (list, dict)
    return (str if several else plain), several, type(None) in options
