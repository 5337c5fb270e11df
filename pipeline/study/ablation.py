"""Which weights of the regularisers? A grid around the unregularised twin, chosen on validation, told on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from .runner import Outcomes
from .variants import UNREGULARISED, Variant, Variants
from .variants_report import write_report

__all__ = ["choose_setting", "grid", "run_ablation", "run_twins", "twins"]


def grid(
    beta: Sequence[float], gamma: Sequence[float], contrast_weight: Sequence[float], *, full: bool = False
) -> list[Variant]:
    """The settings to train: the twin with all weights 0 first, then one factor at a time, or all combinations.

    Args:
        beta: weights of the spectral penalty on W_Q and W_K.
        gamma: weights of the penalty on attention maps.
        contrast_weight: lambda, of the contrast between breast and background.
        full: every combination.

    Raises:
        ValueError: for a negative weight, or nothing but zeros.
    """
    axes = {"beta": beta, "gamma": gamma, "contrast_weight": contrast_weight}
    for name, values in axes.items():
        if any(value < 0 for value in values):
            raise ValueError(f"--{name} takes weights of 0 or more, got {list(values)}")
    if full:
        points = [dict(zip(axes, point, strict=True)) for point in product(*axes.values())]
    else:
        points = [UNREGULARISED | {name: value} for name, values in axes.items() for value in values]
    unique = {_name(point): point for point in [UNREGULARISED, *points]}
    if len(unique) < 2:
        raise ValueError("an ablation needs a weight above 0: give --beta, --gamma or --contrast_weight")
    return [Variant(name, point, {}) for name, point in unique.items()]


def twins(weights: Mapping[str, float], *, own_pretraining: bool = False, breast_tokens: bool = False) -> list[Variant]:
    """The unregularised twin, the regularised model and, on request, one that does not see what is not breast.

    Args:
        weights: ``beta``, ``gamma`` and ``contrast_weight`` of the regularised model's fine-tuning.
        own_pretraining: pretrain the twin without spectral penalty too; else both start from the same pretraining.
        breast_tokens: add a variant of the twin with ``tokens: breast``.

    Raises:
        ValueError: if all weights are 0.
    """
    if not any(weights.values()):
        raise ValueError("the regularised model has only weights of 0; give --beta, --gamma or --contrast_weight")
    pretraining = {"beta": 0.0} if own_pretraining else {}
    variants = [
        Variant("twin", UNREGULARISED, pretraining),
        Variant(f"regularised: {_name(weights)}", dict(weights), {}),
    ]
    if breast_tokens:
        variants.append(Variant("breast tokens", UNREGULARISED | {"tokens": "breast"}, {}))
    return variants


def _name(point: Mapping[str, float]) -> str:
    return f"beta {point['beta']:g}, gamma {point['gamma']:g}, lambda {point['contrast_weight']:g}"


def choose_setting(summary: Mapping[str, Any], tolerance: float) -> str | None:
    """The setting to take as default, by validation patients alone.

    It is the one of the lowest background ratio among those whose validation AUC is at most ``tolerance`` below the
    twin's, the twin included; of equals the first.

    Args:
        summary: of :meth:`Variants.summary`.
        tolerance: of AUC.

    Returns:
        Its name; None where the twin has no validation result.
    """
    sections = {one["variant"]: one["validation"] for one in summary["variants"]}
    found = {name: one for name, one in sections.items() if summary["map"] in one.get("background_ratio", {})}
    twin = found.get(summary["twin"])
    if twin is None:
        return None
    able = [name for name, one in found.items() if one["auc"]["value"] >= twin["auc"]["value"] - tolerance]
    return min(able, key=lambda name: found[name]["background_ratio"][summary["map"]])


def run_ablation(study: Variants, *, tolerance: float = 0.01) -> Path:
    """Run an ablation and write its files; see :func:`choose_setting` for the choice.

    Raises:
        ValueError: if a stage failed, after the results of the others were written.
    """
    outcomes = study.run()
    summary = study.summary(outcomes)
    chosen = choose_setting(summary, tolerance)
    rule = (
        f"lowest {study.kind} background ratio on validation, with a validation AUC at most {tolerance:g} below the "
        "twin's"
    )
    summary |= {"chosen": chosen, "rule": rule}
    summary["endpoints"] = "all exploratory: a claim wants `mammo study twins` on other data"
    return _finish("ablation", study, outcomes, summary)


def run_twins(study: Variants) -> Path:
    """Run the regularised model and its twin, and write the files; two endpoints are named beforehand.

    Raises:
        ValueError: if a stage failed, after the results of the others were written.
    """
    outcomes = study.run()
    summary = study.summary(outcomes)
    summary["endpoints"] = (
        f"primary: difference of the {study.kind} background ratio on test patients, regularised minus twin; told with "
        "it: difference of test AUC; other maps and validation are exploratory"
    )
    return _finish("twins", study, outcomes, summary)


def _finish(name: str, study: Variants, outcomes: Outcomes, summary: Mapping[str, Any]) -> Path:
    path = write_report(name, study.recipe.setting, study.rows(outcomes), summary)
    failed = outcomes.failures()
    if failed:
        raise ValueError(f"{len(failed)} of {len(outcomes)} stages failed; the reasons are in {path}")
    return path
