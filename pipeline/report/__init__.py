"""The report of a run: one self-contained HTML page."""

from .inputs import ReportError
from .page import write_report

__all__ = ["ReportError", "write_report"]
