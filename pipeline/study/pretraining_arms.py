"""The pretrainings of bundle ``miram`` that a study compares, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from .label_efficiency import REFERENCE, Arm, imagenet_arm
from .recipe import Recipe

__all__ = ["PRETRAININGS", "pretraining_arms"]


class Pretraining(NamedTuple):
    """A stage of the bundle, and what is different in it."""

    stage: str
    overrides: Mapping[str, Any]


def _linear(kind: str, **options: int | list[int]) -> Pretraining:
    return Pretraining("pretrain", {"attention": kind, "attention_options": options})


PRETRAININGS: Mapping[str, Pretraining] = MappingProxyType(
    {
        "mae": Pretraining("pretrain", {"scales": [1], "loss_on": ["masked"]}),
        "miram": Pretraining("pretrain", {}),
        "miram_nearest": Pretraining("pretrain", {"source": "nearest"}),
        "miram_all": Pretraining("pretrain", {"loss_on": ["all", "all"]}),
        "miram_linformer": _linear("linformer", k=128),
        "miram_performer": _linear("performer"),
        "miram_nystrom": _linear("nystrom", landmarks=64),
        "miram_nystrom_2d": _linear("nystrom_2d", cells=[8, 8]),
        "moco": Pretraining("pretrain_moco", {}),
        "dino": Pretraining("pretrain_dino", {}),
    }
)
"""Masked autoencoder; MIRAM with larger targets read from the file, enlarged from the input, or counting all patches at
both scales; with each linear attention in its larger decoder; MoCo-v3 and DINO."""


def pretraining_arms(
    recipe: Recipe,
    names: Sequence[str],
    *,
    mixes: Mapping[str, str] | None = None,
    rates: Mapping[str, float] | None = None,
    longer: Mapping[str, int] | None = None,
    imagenet: str | None = None,
    scratch_factor: int = 1,
) -> list[Arm]:
    """An arm each for the pretrainings, one from scratch and, where weights are given, one from those.

    All have equal optimiser steps, pretraining included, but for the longer ones.

    Args:
        recipe: gives the steps.
        names: of :data:`PRETRAININGS`; the first is compared with all others.
        mixes: by name, datalists on which the first is pretrained too: other crops, whole mammograms, or several.
        rates: by name, learning rates of pretrainings that are not the recipe's.
        longer: by name, a whole factor: one more arm whose pretraining takes so many times the steps, since a step of
            one pretraining costs more time than that of another.
        imagenet: file of public weights as `mammo convert` writes them.
        scratch_factor: how many times the steps a long run from scratch gets; 1 leaves it out, 0 the usual one too.

    Raises:
        ValueError: for nothing to compare, an unknown or repeated name, a rate or factor of what is not compared or
            that is too small, no step of pretraining, or a file that is not there.
    """
    unknown = [name for name in names if name not in PRETRAININGS]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(f"--pretrainings {' '.join(names)}: give some of {', '.join(PRETRAININGS)}, each once")
    if not recipe.pretrain_steps:
        raise ValueError("a comparison of pretrainings wants --pretrain_steps above 0")
    rates, longer = dict(rates or {}), dict(longer or {})
    for option, given, above in (("pretraining_rates", rates, 0), ("longer", longer, 1)):
        if wrong := [f"{name}={value:g}" for name, value in given.items() if name not in names or not value > above]:
            raise ValueError(f"--{option} {' '.join(wrong)}: names of --pretrainings, numbers above {above}")
    overrides = {
        name: {**PRETRAININGS[name].overrides, **({"learning_rate": rates[name]} if name in rates else {})}
        for name in names
    }
    known = {
        name: Arm(name, recipe.finetune_steps, pretraining=overrides[name], stage=PRETRAININGS[name].stage)
        for name in names
    }
    arms = list(known.values())
    for name, factor in longer.items():
        steps = factor * recipe.pretrain_steps
        arms.append(replace(known[name], name=f"{name}_x{factor}", pretrain_steps=steps))
    for mix, datalist in (mixes or {}).items():
        if not Path(datalist).is_file():
            raise ValueError(f"--mixes {mix}={datalist}: no such file; `mammo crops` or `mammo combine` makes one")
        own = {**overrides[names[0]], "datalist": str(Path(datalist).absolute())}
        arms.append(replace(arms[0], name=f"{names[0]}_on_{mix}", pretraining=own))
    total = recipe.pretrain_steps + recipe.finetune_steps
    if imagenet is not None:
        arms.append(imagenet_arm(imagenet, total))
    if scratch_factor > 0:
        arms.append(Arm(REFERENCE, total))
    if scratch_factor > 1:
        arms.append(Arm(f"{REFERENCE}_long", scratch_factor * total))
    if len(arms) < 2:
        raise ValueError("--scratch_factor 0 leaves nothing to compare with: name two of --pretrainings or more")
    return arms
