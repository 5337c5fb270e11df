"""Why a file is not exported."""

from __future__ import annotations

from monai.utils import StrEnum

__all__ = ["Refusal", "SetAsideError"]


class Refusal(StrEnum):
    """Reasons of this package; files that are no mammogram have those of :class:`~mammo.transforms.ReadFailure`."""

    UNREADABLE = "unreadable"
    UNDECODABLE = "undecodable"
    NO_IDENTIFIER = "no_identifier"
    UNKNOWN_OBJECT = "unknown_object"
    UNKNOWN_VIEW = "unknown_view"
    BURNED_IN = "burned_in"
    BURNED_IN_CHECK_FAILED = "burned_in_check_failed"
    OVERLAY_IN_PIXELS = "overlay_in_pixels"
    HIDDEN_BITS = "hidden_bits"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    TRUNCATED = "truncated"
    CODESTREAM = "codestream"
    PICTURE_WOULD_CHANGE = "picture_would_change"


class SetAsideError(Exception):
    """A file that is not exported. The message never holds a text of the file.

    Args:
        reason: one of :class:`Refusal`.
        message: what was found, what was expected and the way out.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(str(reason), message)
        self.reason = str(reason)
        self.message = message
