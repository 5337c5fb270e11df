"""The step of an evaluation that writes its model card and its reporting checklist."""

from __future__ import annotations

import logging
from pathlib import Path

import ignite.distributed as idist

from ..files import write_atomically
from .claim import claim_checklist
from .facts import gather_facts
from .model_card import model_card

logger = logging.getLogger(__name__)


class DocumentWriter:
    """Write ``MODEL_CARD.md`` and ``CLAIM.md`` from what a run left.

    Args:
        directory: the evaluation's folder, with ``metrics.json``.
        datalist: the datalist of the run.
        checkpoint: the classifier's weights; the folder above theirs tells how they were trained.
    """

    def __init__(self, directory: str | Path, *, datalist: str | Path, checkpoint: str | Path) -> None:
        self.directory = Path(directory)
        self.datalist = Path(datalist)
        self.checkpoint = Path(checkpoint)

    def write(self) -> None:
        """Write the documents (the first process only).

        Raises:
            FileNotFoundError: metrics or datalist are not there.
            ValueError: a file cannot be read, or there is no checkpoint; the message names it.
        """
        if idist.get_rank() != 0:
            return
        facts = gather_facts(self.directory, datalist=self.datalist, checkpoint=self.checkpoint)
        for name, text in (("MODEL_CARD.md", model_card(facts)), ("CLAIM.md", claim_checklist(facts))):
            write_atomically(self.directory / name, text.encode())
            logger.info("%s written", self.directory / name)
