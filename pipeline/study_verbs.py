"""The verb ``study``: many runs by one command."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .answer import Answer, add_json_option, new_results
from .data_verbs import CPUS

__all__ = ["add_study_verb"]

LESIONS = "lesions.json"
"""The datalist of bundle miram's stages."""


def add_study_verb(verbs: Any) -> None:
    """Add the parser of ``study`` and of its studies to the command line's subparsers."""
    study = verbs.add_parser(
        "study",
        help="many runs by one command: label_efficiency, pretraining, cross_validation, ablation, twins",
        description="Runs the stages of a study side by side, a core each; stopped, it goes on where it was. Further "
        "options are keys of the bundle's stages: --KEY VALUE.",
        allow_abbrev=False,
    )
    studies = study.add_subparsers(metavar="STUDY", required=True)
    _add_label_efficiency(studies)
    _add_pretraining(studies)
    _add_cross_validation(studies)
    _add_ablation(studies)
    _add_twins(studies)


def _add(studies: Any, name: str, text: str, listed: str = "datalist.json") -> argparse.ArgumentParser:
    """A study with the options that all of them share."""
    parser: argparse.ArgumentParser = studies.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.add_argument("--dataset_dir", type=Path, required=True)
    parser.add_argument("--datalist", type=Path, help=f"DATASET_DIR/{listed} by default")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs") / name)
    parser.add_argument("--cache_dir", type=Path, help="folder of prepared images; OUTPUT_DIR/cache by default")
    parser.add_argument("--overlay", action="append", default=[], help="configuration laid over every stage")
    parser.add_argument("--bundle", default="swin_mim")
    parser.add_argument("--workers", type=int, default=CPUS, help="stages at a time, one core each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--pretrain_steps", type=int, default=400)
    parser.add_argument("--finetune_steps", type=int, default=400)
    parser.add_argument("--validate_every", type=int, default=40, help="steps")
    parser.add_argument("--pretrain_learning_rate", type=float, help="the configuration's by default")
    add_json_option(parser)
    parser.set_defaults(name=f"study {name}", free_options=True)
    return parser


def _setting(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Any:
    from .study import Setting

    return Setting(
        dataset_dir=arguments.dataset_dir,
        output_dir=arguments.output_dir,
        datalist=arguments.datalist,
        cache_dir=arguments.cache_dir,
        bundle=arguments.bundle,
        overlays=arguments.overlay,
        options=overrides,
        workers=arguments.workers,
    )


def _recipe(arguments: argparse.Namespace, setting: Any, **options: Any) -> Any:
    from .study import Recipe

    return Recipe(
        setting,
        pretrain_steps=arguments.pretrain_steps,
        finetune_steps=arguments.finetune_steps,
        validate_every=arguments.validate_every,
        pretrain_learning_rate=arguments.pretrain_learning_rate,
        **options,
    )


def _add_label_efficiency(studies: Any) -> None:
    parser = _add(studies, "label_efficiency", "AUC against the share of labels, pretrained and from scratch")
    parser.add_argument("--fractions", type=float, nargs="+", default=[1, 10, 25, 50, 100], help="percent of patients")
    parser.add_argument("--learning_rates", type=float, nargs="+", help="grid for every arm; chosen on validation")
    parser.add_argument("--selection_seeds", type=int, default=1, help="how many seeds choose the learning rate")
    parser.add_argument("--scratch_factor", type=int, default=3, help="steps of the long run from scratch; 1: none")
    _add_arms(parser)
    parser.add_argument("--reconstruction_weight", type=float, help="one more arm: semi-supervised, with this weight")
    parser.set_defaults(verb=_label_efficiency)


def _label_efficiency(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .study import LabelEfficiency, arms_of

    recipe = _recipe(arguments, _setting(arguments, overrides))
    arms = arms_of(
        recipe,
        scratch_factor=arguments.scratch_factor,
        imagenet=arguments.imagenet,
        reconstruction_weight=arguments.reconstruction_weight,
        sparse_pretraining=arguments.sparse_pretraining,
    )
    LabelEfficiency(recipe, arms, **_grid(arguments)).run()
    return Answer(new_results(arguments.output_dir, arguments.since))


def _grid(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is trained of every arm."""
    return {name: getattr(arguments, name) for name in ("fractions", "seeds", "learning_rates", "selection_seeds")}


def _add_pretraining(studies: Any) -> None:
    text = "MIRAM, MAE, MoCo-v3, DINO and none, on the same ViT: downstream AUC"
    parser = _add(studies, "pretraining", text, LESIONS)
    parser.set_defaults(bundle="miram")
    parser.add_argument(
        "--pretrainings", nargs="+", default=["miram", "mae"], help="names; the first against all others"
    )
    parser.add_argument("--fractions", type=float, nargs="+", default=[100], help="percent of labelled patients")
    parser.add_argument("--learning_rates", type=float, nargs="+", required=True, help="grid; chosen on validation")
    parser.add_argument("--selection_seeds", type=int, default=1, help="how many seeds choose the learning rate")
    parser.add_argument("--imagenet", help="public weights by `mammo convert`: one more arm")
    parser.add_argument(
        "--scratch_factor",
        type=int,
        default=1,
        help="steps of a long run from scratch; 1: none; 0: no run from scratch",
    )
    parser.add_argument(
        "--mixes", nargs="+", default=[], metavar="NAME=DATALIST", help="other images for the first of --pretrainings"
    )
    parser.add_argument(
        "--pretraining_rates", nargs="+", default=[], metavar="NAME=RATE", help="learning rates of their own"
    )
    parser.add_argument(
        "--longer",
        nargs="+",
        default=[],
        metavar="NAME=FACTOR",
        help="one more arm each, with more steps of pretraining",
    )
    parser.set_defaults(verb=_pretraining)


def _pretraining(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .study import LabelEfficiency, pretraining_arms

    arguments.datalist = arguments.datalist or arguments.dataset_dir / LESIONS  # as the bundle's stages
    recipe = _recipe(arguments, _setting(arguments, overrides), two_classes=False)
    arms = pretraining_arms(
        recipe,
        arguments.pretrainings,
        mixes=_by_name("mixes", arguments.mixes, str),
        rates=_by_name("pretraining_rates", arguments.pretraining_rates, float),
        longer=_by_name("longer", arguments.longer, int),
        imagenet=arguments.imagenet,
        scratch_factor=arguments.scratch_factor,
    )
    LabelEfficiency(recipe, arms, reference=arms[1].name, **_grid(arguments)).run()
    return Answer(new_results(arguments.output_dir, arguments.since))


def _by_name(option: str, words: Sequence[str], kind: type[str] | type[int] | type[float]) -> dict[str, Any]:
    """``NAME=VALUE`` of the command line."""
    found = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            if not value:
                raise ValueError(word)
            found[name] = kind(value)
        except ValueError:
            wanted = {str: "DATALIST", int: "WHOLE_NUMBER"}.get(kind, "NUMBER")
            raise ValueError(f"--{option} {word}: write NAME={wanted}") from None
    return found


def _add_cross_validation(studies: Any) -> None:
    parser = _add(studies, "cross_validation", "every image tested once, beside texture and logistic regression")
    parser.add_argument("--folds", type=int, default=5, help="by patient; all sections of the datalist are pooled")
    parser.add_argument("--fold_seed", type=int, default=0)
    parser.add_argument("--validation_fraction", type=float, default=0.2, help="of the patients that are not tested")
    parser.add_argument("--learning_rates", type=float, nargs="+", help="grid; chosen in each fold on validation")
    parser.add_argument("--scratch_factor", type=int, default=1, help="steps of a long run from scratch; 1: none")
    _add_arms(parser)
    parser.set_defaults(verb=_cross_validation)


def _add_arms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--imagenet", help="public weights by `mammo convert`: one more arm")
    parser.add_argument(
        "--sparse_pretraining", action="store_true", help="one more arm: its pretraining has tokens breast"
    )


def _cross_validation(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .study import CrossValidation, arms_of, fold_settings

    settings = fold_settings(
        _setting(arguments, overrides),
        folds=arguments.folds,
        validation_fraction=arguments.validation_fraction,
        seed=arguments.fold_seed,
    )
    recipes = [_recipe(arguments, setting) for setting in settings]
    arms = arms_of(
        recipes[0],
        scratch_factor=arguments.scratch_factor,
        imagenet=arguments.imagenet,
        sparse_pretraining=arguments.sparse_pretraining,
    )
    CrossValidation(recipes, arms, seeds=arguments.seeds, learning_rates=arguments.learning_rates).run()
    return Answer(new_results(arguments.output_dir, arguments.since))


def _add_ablation(studies: Any) -> None:
    parser = _add(studies, "ablation", "the regularisers' weights: AUC and background ratio beside the 0-0-0 twin")
    parser.add_argument("--beta", type=float, nargs="+", default=[0, 1e-4, 1e-2], help="spectral penalty on W_Q, W_K")
    parser.add_argument("--gamma", type=float, nargs="+", default=[0, 1e-3, 1e-1], help="penalty on attention maps")
    parser.add_argument("--contrast_weight", type=float, nargs="+", default=[0, 0.1, 1], help="lambda")
    parser.add_argument("--full_grid", action="store_true", help="all combinations; else one factor at a time")
    parser.add_argument("--auc_tolerance", type=float, default=0.01, help="of validation AUC, for the choice")
    _add_maps(parser)
    parser.set_defaults(verb=_ablation)


def _add_twins(studies: Any) -> None:
    parser = _add(studies, "twins", "the regularised model and its twin without regularisers")
    parser.add_argument("--beta", type=float, help="of the regularised model; the configuration's by default")
    parser.add_argument("--gamma", type=float, help="likewise")
    parser.add_argument("--contrast_weight", type=float, help="likewise")
    parser.add_argument(
        "--twin_pretraining", action="store_true", help="give the twin a pretraining without beta; else both share one"
    )
    parser.add_argument(
        "--breast_tokens", action="store_true", help="a third variant: tokens breast, without regularisers"
    )
    _add_maps(parser)
    parser.set_defaults(verb=_twins)


def _add_maps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--map", default="attention", help="map of the endpoint: attention, attention_gradient, gradcam"
    )
    parser.add_argument("--pretrained", help="weights for all runs in place of the study's own pretraining")


def _ablation(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .study import Variants, grid, run_ablation

    variants = grid(arguments.beta, arguments.gamma, arguments.contrast_weight, full=arguments.full_grid)
    recipe, start = _recipe(arguments, _setting(arguments, overrides)), _weights(arguments.pretrained)
    study = Variants(recipe, variants, seeds=arguments.seeds, start=start, kind=arguments.map)
    run_ablation(study, tolerance=arguments.auc_tolerance)
    return Answer(new_results(arguments.output_dir, arguments.since))


def _twins(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .study import Variants, run_twins, twins

    recipe = _recipe(arguments, _setting(arguments, overrides))
    given = {name: getattr(arguments, name) for name in ("beta", "gamma", "contrast_weight")}
    weights = {
        name: float(recipe.setting.default("finetune", name)) if value is None else value
        for name, value in given.items()
    }
    variants = twins(weights, own_pretraining=arguments.twin_pretraining, breast_tokens=arguments.breast_tokens)
    start = _weights(arguments.pretrained)
    run_twins(Variants(recipe, variants, seeds=arguments.seeds, start=start, kind=arguments.map))
    return Answer(new_results(arguments.output_dir, arguments.since))


def _weights(path: str | None) -> str | None:
    if path is not None and not Path(path).is_file():
        raise ValueError(f"--pretrained {path}: there is no such file")
    return None if path is None else str(Path(path).absolute())
