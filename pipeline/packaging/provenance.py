"""What a bundle says of the data that its weights were trained on."""

from __future__ import annotations

from pathlib import Path

from ..evidence.run_files import ENVIRONMENT, read_json

__all__ = ["training_data"]


def training_data(checkpoint: Path, licence: str | None) -> dict[str, str]:
    """Name, hash and licence of a run's datalist.

    Args:
        checkpoint: in the run folder.
        licence: of the data; None takes the one that the datalist tells.

    Raises:
        ValueError: nobody tells a licence: weights of data that forbid a use must not be passed on unnoticed.
    """
    path = checkpoint.parents[1] / ENVIRONMENT
    environment = read_json(path) if path.is_file() else {}
    datalist = Path(str(environment.get("datalist", "")))
    content = read_json(datalist) if datalist.is_file() else {}
    told = licence or content.get("licence")
    if not told:
        where = f"{datalist} does not say it" if datalist.is_file() else "its datalist is not where it was"
        raise ValueError(f"licence of the training data unknown ({where}); give --data_licence")
    return {
        "data": str(told),
        "data_name": str(content.get("name", "unknown")),
        "datalist_sha256": str(environment.get("datalist_sha256", "unknown")),
    }
