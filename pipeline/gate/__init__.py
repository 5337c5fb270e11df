"""The input gate: may a network see this image, and if not, why."""

from .files import gate_files, gate_records, looks_burned_in, read_facts
from .gate import PRESETS, GatePolicy, Verdict, gate_policy, judge, unreadable
from .reasons import Outcome, Reason
from .summary import GateRow, GateSummary

__all__ = [
    "PRESETS",
    "GatePolicy",
    "GateRow",
    "GateSummary",
    "Outcome",
    "Reason",
    "Verdict",
    "gate_files",
    "gate_policy",
    "gate_records",
    "judge",
    "looks_burned_in",
    "read_facts",
    "unreadable",
]
