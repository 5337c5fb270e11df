"""The one error that reading a mammogram raises, with a code that a run can count."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath

from monai.utils import StrEnum

__all__ = ["MammogramError", "ReadFailure", "refusing"]


class ReadFailure(StrEnum):
    """Why a file cannot be used; the values are the ``reason`` of :class:`MammogramError`."""

    MISSING = "missing"
    NOT_AN_IMAGE = "not_an_image"
    NOT_A_MAMMOGRAM = "not_a_mammogram"
    TRUNCATED = "truncated"
    UNDECODABLE = "undecodable"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    UNSUPPORTED_PIXEL_FORMAT = "unsupported_pixel_format"
    INVALID_VOI = "invalid_voi"
    INVALID_UID = "invalid_uid"
    INVALID_CROP = "invalid_crop"
    MULTI_FRAME = "multi_frame"
    TOO_LARGE = "too_large"
    ALL_ZERO = "all_zero"
    CRASHED = "crashed"
    """The process that read the file died: a codec's defect, or too little memory."""
    TIMED_OUT = "timed_out"


class MammogramError(ValueError):
    """A file that cannot be used as a mammogram.

    Args:
        path: the file.
        reason: one of :class:`ReadFailure`, for quarantine lists and counts.
        message: what was found, what was expected and the way out.
    """

    def __init__(self, path: str | PathLike[str], reason: str, message: str) -> None:
        # All three go to `args`, so that the error survives pickling between worker processes.
        super().__init__(fspath(path), str(reason), message)
        self.path: str = fspath(path)
        self.reason: str = str(reason)
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}: {self.message} [{self.reason}]"


@contextmanager
def refusing(path: str | PathLike[str], reason: str, what: str) -> Iterator[None]:
    """Turn whatever a parser or codec raises into a :class:`MammogramError`: a hostile file can make it anything.

    Args:
        path: the file.
        reason: of the error.
        what: subject and verb of its message, such as ``"the header cannot be read"``.
    """
    try:
        yield
    except MammogramError:
        raise
    except BaseException as error:
        # A decoder written in Rust panics with what is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise MammogramError(path, reason, f"{what}: {type(error).__name__}: {error}") from error
