"""The handler that turns the vectors of images into what they retrieve: tables, measures and pictures."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import pandas as pd
import torch
from ignite.engine import Events
from monai.engines import Workflow
from numpy.typing import NDArray
from safetensors.torch import save
from torch.nn import functional as F

from ...networks import ImageTextModel
from ..evidence.hashes import sha256_of
from ..files import write_atomically
from ..gather import gathered
from ..handlers import image_key, write_table
from ..metrics import RESEARCH_USE
from ..metrics.retrieval import first_hit_ranks, retrieval
from ..text import TextTokenizer
from .matrix import similarity_figure
from .pairs import Level, Pair, distinct_reports, pair_reports
from .sheets import write_sheets

__all__ = ["RetrievalWriter"]

logger = logging.getLogger(__name__)
Floats = NDArray[np.float32]


class RetrievalWriter:
    """Write ``embeddings.safetensors``, ``pairs.csv``, ``retrieval.json`` and pictures when the images are embedded.

    The vector of a breast is the mean of its images' unit vectors, made unit again; that of a report likewise of its
    parts, each of which was a text of its own in training. Equal reports are one, see :func:`distinct_reports`.

    Args:
        directory: the run folder.
        model: both towers, filled with weights.
        tokenizer: of the text tower.
        images: the data set that the engine runs over; its ``data`` are the records, its items are shown.
        level: ``breast`` or ``image``, see :class:`Level`.
        join_texts: embed a report as one text instead, its parts put one behind the other.
        length: most tokens of a text.
        at: values of k of the recalls.
        sheets: queries that are shown each way; 0 shows none.
        checkpoint: whose SHA-256 is told.
        batch_size: texts that are embedded at a time.
        draws: of patients, for the intervals.
        seed: of the draws.

    Raises:
        ValueError: an unknown level, or no record with a report.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        model: ImageTextModel,
        tokenizer: TextTokenizer,
        images: Any,
        level: str = Level.BREAST,
        join_texts: bool = False,
        length: int = 256,
        at: Sequence[int] = (1, 5, 10),
        sheets: int = 4,
        checkpoint: str | Path | None = None,
        batch_size: int = 32,
        draws: int = 2000,
        seed: int = 0,
    ) -> None:
        self.directory, self.model, self.tokenizer, self.images = Path(directory), model, tokenizer, images
        self.level, self.join_texts, self.length, self.at = str(level), join_texts, length, tuple(at)
        self.sheets, self.checkpoint, self.batch_size = sheets, checkpoint, batch_size
        self.draws, self.seed = draws, seed
        self.pairs, self.left_out = pair_reports(images.data, level)
        self.vectors: list[tuple[Any, Floats]] = []

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``, whose predictions are vectors."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda _: self.vectors.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def add(self, engine: Workflow) -> None:
        """Keep the vectors of one decollated batch."""
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            self.vectors.append((image_key(item), output["pred"].float().cpu().numpy()))

    def write(self, engine: Workflow) -> None:
        """Embed the reports, measure and write everything (the first process only)."""
        found = dict(gathered(self.vectors))
        if idist.get_rank() != 0:
            return
        of_images = [np.mean([found[image_key(self.images.data[k])] for k in p.places], axis=0) for p in self.pairs]
        reports, report = distinct_reports(self.pairs)
        images, texts = _unit(np.stack(of_images)), self._texts(reports)
        told = retrieval(
            images, texts, report, [p.patient for p in self.pairs], at=self.at, draws=self.draws, seed=self.seed
        )
        self._write_tables(images, texts, report)
        self._write_pictures(images @ texts.T, reports, np.array(report))
        content = self._about(reports) | told
        path = self.directory / "retrieval.json"
        write_atomically(path, json.dumps(content, indent=1, allow_nan=False).encode())
        logger.info("%s written: %s", path, _summary(told, self.at))

    @torch.no_grad()
    def _texts(self, reports: Sequence[Pair]) -> Floats:
        """Unit vectors ``(M, D)`` of the reports."""
        parts = [[pair.report] if self.join_texts else pair.texts for pair in reports]
        flat = sorted({text for texts in parts for text in texts})
        device, vectors = self.model.logit_scale.device, []
        for start in range(0, len(flat), self.batch_size):
            tokens, mask = self.tokenizer(flat[start : start + self.batch_size], self.length)
            vectors.append(self.model.embed_texts(tokens.to(device), mask.to(device)).float().cpu())
        of = dict(zip(flat, torch.cat(vectors).numpy(), strict=True))
        return _unit(np.stack([np.mean([of[text] for text in texts], axis=0) for texts in parts]))

    def _write_tables(self, images: Floats, texts: Floats, report: Sequence[int]) -> None:
        tensors = {"images": torch.from_numpy(images), "texts": torch.from_numpy(texts)}
        write_atomically(self.directory / "embeddings.safetensors", save(tensors))
        own = np.asarray(report)[:, None] == np.arange(len(texts))
        rank = first_hit_ranks(images @ texts.T, own).astype(int)
        back = first_hit_ranks(texts @ images.T, own.T).astype(int)
        rows = [
            {
                "pair": pair.name,
                "patient": pair.patient,
                "images": " ".join(self.images.data[k]["image_id"] for k in pair.places),
                "group": pair.group,
                "report_number": number,
                "rank_of_report": rank[place],
                "rank_of_image": back[number],
                "report": pair.report,
            }
            for place, (pair, number) in enumerate(zip(self.pairs, report, strict=True))
        ]
        write_table(pd.DataFrame(rows), self.directory / "pairs.csv")

    def _write_pictures(self, cosines: Floats, reports: Sequence[Pair], report: NDArray[np.int64]) -> None:
        groups = [pair.group for pair in self.pairs], [pair.group for pair in reports]
        figures = self.directory / "figures"
        for path in figures.glob("retrieval_*.png"):  # of an earlier run with more sheets
            path.unlink()
        figure = similarity_figure(cosines, *groups, report, what=self.level)
        write_atomically(figures / "retrieval_matrix.png", figure)
        write_sheets(figures, cosines, self.pairs, reports, report, self._picture, count=self.sheets)

    def _picture(self, pair: Pair) -> Floats:
        """The images of a pair side by side, ``(H, W)`` in [0, 1]."""
        return np.hstack([np.asarray(self.images[place]["image"][0], np.float32) for place in pair.places])

    def _about(self, reports: Sequence[Pair]) -> dict[str, Any]:
        return {
            "notice": RESEARCH_USE,
            "level": self.level,
            "report": "one text" if self.join_texts else "mean of its parts",
            "equal_reports": "equal words, in small letters, whatever the spaces",
            "counts": {
                "images": sum(len(pair.places) for pair in self.pairs),
                "pairs": len(self.pairs),
                "reports": len(reports),
                "patients": len({pair.patient for pair in self.pairs}),
                "left_out": self.left_out,
            },
            "bootstrap": {"unit": "patient", "level": 0.95, "draws": self.draws, "seed": self.seed},
            "checkpoint_sha256": None if self.checkpoint is None else sha256_of(self.checkpoint),
        }


def _unit(vectors: Floats) -> Floats:
    return F.normalize(torch.from_numpy(vectors), dim=-1).numpy()


def _summary(told: Mapping[str, Any], at: Sequence[int]) -> str:
    k = 5 if 5 in at else at[0]
    words = []
    for way in ("image_to_text", "text_to_image"):
        recall, chance = told[way][f"recall_at_{k}"], told[way]["chance"][f"recall_at_{k}"]
        words.append(f"{way.replace('_', ' ')} recall@{k} {recall['value']:.3f} (chance {chance:.3f})")
    return ", ".join(words)
