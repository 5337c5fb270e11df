"""A Sphinx extension: a finished page that would load anything from the network is a warning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.util import logging

__all__ = ["remote_parts", "setup"]

REMOTE = re.compile(r"<(?:script|link|img|iframe|source|video)\b[^>]*?\b(?:src|href)\s*=\s*[\"'](?:https?:)?//[^\"']+")
REMOTE_STYLE = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^\"')]+")


def setup(app: Any) -> dict[str, Any]:
    """Look at all pages and styles when the build has ended."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def remote_parts(text: str) -> list[str]:
    """What a page or a style sheet loads from elsewhere; links that a reader may follow are none of it."""
    return REMOTE.findall(text) + REMOTE_STYLE.findall(text)


def _check(app: Any, failed: Exception | None) -> None:
    logger = logging.getLogger(__name__)
    for path in sorted([*Path(app.outdir).rglob("*.html"), *Path(app.outdir).rglob("*.css")]):
        for part in remote_parts(path.read_text(encoding="utf-8")):
            logger.warning("%s loads from the network: %s", path.relative_to(app.outdir), part)
