"""MONAI bundles of mammo: configuration only."""

from importlib.resources import files
from pathlib import Path


def bundle_root(name: str) -> Path:
    """Folder of the bundle ``name``, in a checkout as in an installed wheel.

    Raises:
        ValueError: if there is no such bundle; the message lists those there are.
    """
    if name not in bundle_names():
        raise ValueError(f"no bundle {name!r}; there are: {', '.join(bundle_names())}")
    return Path(str(files(__name__))) / name


def bundle_names() -> list[str]:
    """The bundles there are."""
    return sorted(path.parent.parent.name for path in Path(str(files(__name__))).glob("*/configs/metadata.json"))


def metadata_schema() -> Path:
    """The JSON schema of ``metadata.json``, for MONAI's verification without a network."""
    return Path(str(files(__name__))) / "metadata_schema.json"
