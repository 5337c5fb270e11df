"""Words of mammography systems, film digitisers and paddles: free text is kept if it holds no other."""

from __future__ import annotations

import re
from typing import Any

from .rules import Context

__all__ = ["device_name", "paddle"]

_MAKERS = """
agfa ge gehc general electric medical systems healthcare hologic lorad siemens healthineers philips fuji fujifilm film
photo sectra imtec ims giotto planmed carestream kodak eastman konica minolta fischer imaging instrumentarium
metaltronica internazionale medico scientifica imd italray canon toshiba lumisys howtek vidar digirad icad
corporation corp company co inc ltd gmbh ag ab oy spa srl s p a r l mammo phantom
"""
_MODELS = """
senographe 2000d ds essential pristina crystal nova care selenia dimensions 3dimensions mammomat inspiration novation
mammonovation 3000 revelation fusion prime balance b brilliant dr microdose mammography digital system l30 l50 si d40
amulet innovality f s fdr ms 1000 2000 3500 nuance excel clarity 2d 3d class image tomo lilyum helianthus
directview cr975 cr classic elite 950 850 regius dm senoscan performa diamond affinity adm pm dmr plus m iv
lumiscan 85 75 50 multirad 960 fulcrum film mammo phantom xl hd md
"""
_PADDLES = """
spot round square rectangular rectangle half moon flat curved flex flexible fast sliding shift shifting standard small
large full field screening contact compression paddle magnification mag implant axilla axillary localization
biopsy bucky breast no none cm mm x by with
"""
_DEVICES = frozenset((_MAKERS + _MODELS).split())
_PADDLE_WORDS = frozenset(_PADDLES.split())
_MEASURE = re.compile(r"\d{1,3}(?:x\d{1,3})?(?:cm|mm)?", re.ASCII)
_WORD = re.compile(r"[^\W_]+")
_SEPARATORS = re.compile(r"[ ,.&/()_-]*")
_LONGEST = 64


def device_name(value: Any, context: Context) -> str:
    """A manufacturer or model made of words of mammography systems, or one that the user vouches for.

    The field is free text: serial numbers, sites and names are found in it.

    Raises:
        ValueError: for any other text.
    """
    text = _short(value)
    if text in context.known_devices:
        return text
    if not all(word in _DEVICES for word in _words(text)):
        raise ValueError("not the name of a known device")
    return text


def paddle(value: Any, context: Context) -> str:
    """Paddle Description (0018,11A4) made of words of paddles and sizes such as ``24x29cm``.

    Raises:
        ValueError: for any other text.
    """
    text = _short(value)
    if not all(word in _PADDLE_WORDS or _MEASURE.fullmatch(word) for word in _words(text)):
        raise ValueError("not the description of a paddle")
    return text


def _short(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise ValueError("not a text of at most 64 characters")
    return value.strip("\0 ")


def _words(text: str) -> list[str]:
    words = [word.lower() for word in _WORD.findall(text)]
    if not words or not _SEPARATORS.fullmatch(_WORD.sub("", text)):
        raise ValueError("not words with plain separators")
    return words
