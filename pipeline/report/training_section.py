"""How training went: curves, and what the pretrained network paints into hidden blocks."""

from collections.abc import Sequence
from pathlib import Path

from .blocks import Block, Group, Picture, Section, Text, Tone, missing
from .embed import embed_figure, embed_png
from .inputs import Run
from .plots import history_figure

EVALUATE = "It is written by the training run."
MAX_RECONSTRUCTIONS = 3
COLLAPSED_RANK = 1.05
"""As in ``feature_rank.py``, which is not imported here, since that takes seconds."""


def pretraining_section(run: Run | None) -> Section:
    """Loss curves of self-supervised pretraining and its reconstructions, first, middle and last epoch."""
    title = "Pretraining without labels"
    if run is None:
        return Section(title, [missing("a pretraining run", "None was given to this report.")])
    blocks: list[Block] = [
        Text("The network sees mammograms with blocks hidden and learns to paint them in; no label is used.")
    ]
    blocks.append(_curves([run], "pretraining"))
    blocks += _rank(run)
    pictures = sorted((run.folder / "figures").glob("reconstruction*.png"))
    if not pictures:
        blocks.append(missing("reconstruction pictures", "They are written as figures/reconstruction*.png."))
    shown = [_reconstruction(path) for path in _spread(pictures, MAX_RECONSTRUCTIONS)]
    return Section(title, blocks + [Group(shown)] * bool(shown))


def training_section(runs: Sequence[Run]) -> Section:
    """Training curves of all classifiers, side by side."""
    title = "Training of the classifiers"
    if not runs:
        return Section(title, [missing("classifiers", "None was given to this report.")])
    with_history = [run for run in runs if run.history is not None]
    blocks: list[Block] = [_curves(with_history, "classifier training")] if with_history else []
    without = [run.name for run in runs if run.history is None]
    if without:
        blocks.append(missing(f"history.json of {', '.join(without)}", EVALUATE))
    return Section(title, blocks)


def _rank(run: Run) -> list[Block]:
    """How many directions the encoder tells images apart in; nothing for a run that did not measure it."""
    rows = [row for row in (run.history or {}).get("validation", []) if row.get("feature_rank") is not None]
    if not rows:
        return []
    first, last = rows[0], rows[-1]
    collapsed = last["feature_rank"] < COLLAPSED_RANK
    text = (
        f"Effective rank of the encoder's features over the validation images (RankMe): {last['feature_rank']:.2f} "
        f"after epoch {last['epoch']}, {first['feature_rank']:.2f} after epoch {first['epoch']}; 1 would mean that all "
        f"images look the same to it. Their mean standard deviation is {last['feature_std']:.3f}."
    )
    if collapsed:
        text += " The features have collapsed: a classifier that starts from them is unlikely to gain."
    return [Text(text, Tone.WARNING if collapsed else Tone.PLAIN, "Has the encoder collapsed?")]


def _curves(runs: Sequence[Run], what: str) -> Block:
    histories = {run.name: run.history for run in runs if run.history is not None}
    if not any(rows for history in histories.values() for rows in history.values()):
        return missing(f"the curves of {what} (history.json)", EVALUATE)
    epochs = {name: len(history["train"]) for name, history in histories.items()}
    said = ", ".join(f"{name} {count}" for name, count in epochs.items())
    caption = f"Mean training loss and validation measures by epoch (epochs trained: {said})."
    return Picture(embed_figure(history_figure(histories)), f"Curves of {what} by epoch: {said}", caption)


def _reconstruction(path: Path) -> Picture:
    name = path.stem.replace("reconstruction", "").replace("_", " ").strip()
    when = name or "last epoch"
    caption = f"{when.capitalize()}. Top: image; middle: what the network sees; bottom: its reconstruction."
    return Picture(embed_png(path), f"Reconstructed mammograms, {when}", caption)


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """``count`` of the paths, first and last among them, evenly apart."""
    if len(paths) <= count:
        return list(paths)
    return [paths[round(index * (len(paths) - 1) / (count - 1))] for index in range(count)]
