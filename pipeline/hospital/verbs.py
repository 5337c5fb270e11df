"""Verbs of the command line for hospitals: process."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..answer import Answer, add_json_option

__all__ = ["add_hospital_verbs"]


def add_hospital_verbs(verbs: Any) -> None:
    """Add the parsers of these verbs to the command line's subparsers."""
    process = verbs.add_parser(
        "process",
        help="studies from a folder to DICOM results, a page and result.json",
        description="Processes the studies in IN. Of one study the results lie in OUT itself, of several in OUT/0001 "
        "and so on. Exit status: 0 all analysed, 3 one could not be analysed, 4 one failed; the results say why. "
        "For research use only.",
        allow_abbrev=False,
    )
    process.add_argument("input", nargs="+", type=Path, metavar="IN", help="folders that are searched, or files")
    process.add_argument("out", type=Path, metavar="OUT", help="folder of the results")
    add_model_options(process)
    add_json_option(process)
    process.set_defaults(verb=_process, name="process")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options of what every way into the engine needs."""
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="best.pt of a finetune run, or an exported bundle"
    )
    parser.add_argument("--operating_points", type=Path, help="of an evaluation; by default that in the run folder")
    parser.add_argument("--gate", default="deploy", help="what is refused: deploy, training (less strict) or all")
    parser.add_argument("--results", nargs="+", metavar="KIND", help="DICOM objects to make; sr overlay presentation")
    parser.add_argument(
        "--quantile", type=float, default=0.95, help="of the map in the breast, above which is a region"
    )
    parser.add_argument("--device", default="cpu")


def make_engine(arguments: argparse.Namespace) -> Any:
    """The engine that these options ask for."""
    from ..gate import gate_policy
    from .loading import load_model
    from .study import StudyEngine

    model = load_model(
        arguments.checkpoint,
        operating_points=arguments.operating_points,
        device=arguments.device,
        quantile=arguments.quantile,
    )
    return StudyEngine(model, policy=gate_policy(arguments.gate))


def kinds_of(arguments: argparse.Namespace) -> list[str]:
    """Kinds of DICOM objects that are asked for.

    Raises:
        ValueError: for an unknown one, before anything is computed.
    """
    from .results import DEFAULT, check_kinds

    return check_kinds(DEFAULT if arguments.results is None else arguments.results)


def _process(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from ..inference import find_images
    from ..sole_owner import sole_owner
    from .process import EXIT_STATUS, RESULT, process_files, studies_of

    kinds = kinds_of(arguments)
    files = [file for path in arguments.input for file in find_images(path)]
    if not files:
        raise ValueError(f"no file in {', '.join(map(str, arguments.input))}; give the folder of a study")
    studies = studies_of(files)
    engine = make_engine(arguments)
    worst, told = 0, []
    with sole_owner(arguments.out, "OUT"):
        for number, paths in enumerate(studies, start=1):
            folder = arguments.out if len(studies) == 1 else arguments.out / f"{number:04d}"
            result = process_files(paths, engine, folder, kinds)
            print(f"{folder}: {_in_words(result)}")
            told.append({"folder": folder, **json.loads((folder / RESULT).read_text(encoding="utf-8"))})
            worst = max(worst, EXIT_STATUS[result.status])
    print("for research use only")
    return Answer({"studies": told}, status=worst)


def _in_words(result: Any) -> str:
    refused = [view for view in result.views if view.probability is None]
    told = [f"{view.name}: {', '.join(view.reasons)}" for view in refused if view.reasons]
    notes = [f"refused {'; '.join(told)}"] if told else []
    if result.missing_views and result.exam_score is not None:
        notes.append(f"missing {', '.join(result.missing_views)}")
    if result.exam_score is None:
        return "; ".join([f"{result.status.value.replace('_', ' ')}: {result.reason}", *notes])
    flag = "" if result.flagged is None else f", {'at or above' if result.flagged else 'below'} {result.threshold:.3f}"
    score = f"score {result.exam_score:.3f} ({result.exam_breast}{flag}, not calibrated)"
    return "; ".join([f"analysed {len(result.scored())} of {len(result.views)} images, {score}", *notes])
