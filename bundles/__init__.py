"""MONAI bundles of mammo: configuration only."""

from importlib.resources import files
from pathlib import Path


def bundle_root(name: str) -> Path:
    """Folder of the bundle ``name``, in a checkout as in an installed wheel.

    Raises:
        ValueError: if there is no such bundle; the message lists those there are.
    """
    home = Path(str(files(__name__)))
    bundles = sorted(path.parent.parent.name for path in home.glob("*/configs/metadata.json"))
    if name not in bundles:
        raise ValueError(f"no bundle {name!r}; there are: {', '.join(bundles)}")
    return home / name


def metadata_schema() -> Path:
    """The JSON schema of ``metadata.json``, for MONAI's verification without a network."""
    return Path(str(files(__name__))) / "metadata_schema.json"
