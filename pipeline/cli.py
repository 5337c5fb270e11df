"""The command line: ``mammo VERB ...``. Heavy imports happen inside the verbs, so that ``--help`` is instant."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from .answer import Answer, add_json_option, print_json, stdout_for_json
from .completion import add_completion_verb
from .data_verbs import add_data_verbs
from .evaluation_verbs import add_evaluation_verbs
from .hospital.service.verbs import add_serve_verb
from .hospital.verbs import add_hospital_verbs
from .packaging.verbs import add_bundle_verb
from .reproduce.verb import add_reproduce_verb
from .stage_verbs import add_stage_verbs
from .study_verbs import add_study_verb
from .terminal import configure_logging, stdout_is_closed, stop_on_sigterm, user_error

EXAMPLES = """examples:
  mammo demo                                             everything below on synthetic mammograms, with a report
  mammo prepare cbis_ddsm CBIS-DDSM --store prepared    list, split and prepare once
  mammo audit CBIS-DDSM/datalist.json                   does a patient or a picture leak between the sections?
  mammo pretrain --dataset_dir CBIS-DDSM --cache_dir prepared --max_epochs 100
  mammo finetune --dataset_dir CBIS-DDSM --label_percentage 10
  mammo evaluate --dataset_dir CBIS-DDSM --explanations true
  mammo explain --dataset_dir CBIS-DDSM --cases "[Mass-Test_P_00016_LEFT_CC]"
  mammo explain --sentence "a spiculated mass is seen" --images exam/
  mammo compare outputs/pretrained outputs/from_scratch  paired differences of every measure
  mammo verify outputs/finetune                          do hashes and metrics still hold?
  mammo study label_efficiency --dataset_dir CBIS-DDSM --fractions 1 10 100 --seeds 0 1 2
  mammo reproduce phantom-swin                           a row of a paper's table, published figure beside ours; --list
  mammo report --datalist CBIS-DDSM/datalist.json --classifier pretrained=outputs/finetune
  mammo predict exam/*.dcm --checkpoint outputs/finetune/checkpoints/best.pt
  mammo process exam/ results/ --checkpoint outputs/finetune/checkpoints/best.pt   DICOM results of a study
Research use only."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return its exit status, or 1 for an error of the input, 2 for misuse, 130 for Ctrl-C."""
    parser, words = build_parser(), list(sys.argv[1:] if argv is None else argv)
    try:
        arguments, rest = parser.parse_known_args(words)
        given = [word.partition("=")[0] for word in rest if word.startswith("--")]
        if given and hasattr(arguments, "verb") and arguments.stage is None and not arguments.free_options:
            raise MisuseError(parser, f"unknown option {given[0]} for {arguments.name}")
    except MisuseError as misuse:
        if "--json" in words:
            print_json({"error": str(misuse)})
        return misuse.told()
    if not hasattr(arguments, "verb"):
        parser.print_help()
        return 2
    try:
        overrides = parse_overrides(rest)
        configure_logging()
        stop_on_sigterm()
        with stdout_for_json(arguments.json):
            answer = arguments.verb(arguments, overrides) or Answer()
    except KeyboardInterrupt:
        print(f"mammo: interrupted{_how_to_go_on(arguments)}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return stdout_is_closed()
    except Exception as error:
        cause = user_error(error)
        if cause is None or os.environ.get("MAMMO_DEBUG"):
            raise
        answer = Answer(error=str(cause))
    if arguments.json:
        print_json({**answer.content, **({"error": answer.error} if answer.error else {})})
    if answer.error:
        print(f"mammo: error: {answer.error}", file=sys.stderr)
    return 1 if answer.error else answer.status


class MisuseError(Exception):
    """Words that a parser does not take."""

    def __init__(self, parser: argparse.ArgumentParser, message: str) -> None:
        super().__init__(message)
        self.parser = parser

    def told(self) -> int:
        """Print usage and message to stderr; the exit status."""
        self.parser.print_usage(sys.stderr)
        print(f"{self.parser.prog}: error: {self}", file=sys.stderr)
        return 2


class _Parser(argparse.ArgumentParser):
    """A parser that raises :class:`MisuseError`, so that ``--json`` can tell of it."""

    def error(self, message: str) -> NoReturn:
        raise MisuseError(self, message)


def _how_to_go_on(arguments: argparse.Namespace) -> str:
    if arguments.stage is not None:
        from .bundle_run import TRAINING

        trains = arguments.stage.startswith(TRAINING)
        return "; finished epochs are kept, go on with --resume true" if trains else ""
    kept = {
        "prepare": "what the store holds is kept, the same command goes on",
        "study": "what has ended is kept, the same command goes on",
    }
    return f"; {kept[arguments.name]}" if arguments.name in kept else ""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = _Parser(
        prog="mammo",
        description="Self-supervised and label-efficient mammography AI inside MONAI.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(stage=None, free_options=False, json=False, since=time.time())
    verbs = parser.add_subparsers(metavar="VERB", title="verbs")

    demo = verbs.add_parser("demo", help="the whole chain on synthetic mammograms, in minutes", allow_abbrev=False)
    demo.add_argument("--output_dir", type=Path, default=Path("demo_output"))
    demo.add_argument("--seed", type=int, default=0)
    add_json_option(demo)
    demo.set_defaults(verb=_demo, name="demo")

    add_data_verbs(verbs)
    add_study_verb(verbs)
    add_reproduce_verb(verbs)
    add_stage_verbs(verbs)
    _add_report(verbs)
    add_evaluation_verbs(verbs)
    add_hospital_verbs(verbs)
    add_serve_verb(verbs)
    add_bundle_verb(verbs)
    predict = verbs.add_parser("predict", help="score mammograms, one row each", allow_abbrev=False)
    predict.add_argument("images", nargs="+", type=Path, help="files, or folders that are searched")
    predict.add_argument("--checkpoint", type=Path, required=True, help="best.pt of a run, or zero_shot.pt")
    predict.add_argument("--out", type=Path, default=Path("predictions.csv"))
    predict.add_argument("--gate", default="training", help="what is not scored: training, deploy (stricter) or all")
    predict.add_argument("--operating_points", type=Path, help="of an evaluation; by default that in the run folder")
    predict.add_argument("--prompts", help="score by sentences: ensemble, published, a JSON file, or JSON itself")
    predict.add_argument("--ask", nargs="+", metavar="TASK", help="those of the prompts to ask, such as density")
    add_json_option(predict)
    predict.set_defaults(verb=_predict, name="predict")
    _add_convert(verbs)
    add_completion_verb(verbs)
    return parser


def _add_convert(verbs: Any) -> None:
    convert = verbs.add_parser(
        "convert", help="public weights for --pretrained, or ours for others", allow_abbrev=False
    )
    convert.add_argument("weights", type=Path, help="Swin, ViT or Mammo-CLIP: official, MAE, timm, transformers, .tar")
    convert.add_argument("out", type=Path, help="the .safetensors file to write")
    convert.add_argument(
        "--image_size", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="to resize a ViT's learned positions to"
    )
    convert.add_argument("--colour", action="store_true", help="leave three input channels; else they become one")
    convert.add_argument("--export", action="store_true", help="the other way: an encoder of ours under official names")
    add_json_option(convert)
    convert.set_defaults(verb=_convert, name="convert")


def _add_report(verbs: Any) -> None:
    report = verbs.add_parser("report", help="one HTML page of what the stages left", allow_abbrev=False)
    report.add_argument("--datalist", type=Path, help="for counts, split and leaks")
    report.add_argument("--pretrain", type=Path, help="run folder of pretrain")
    report.add_argument(
        "--classifier",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="run folder of finetune, with evaluate's output in its folder test; may be given several times",
    )
    report.add_argument("--explain", type=Path, help="run folder of explain")
    report.add_argument("--factor", type=Path, help="run folder of factor_explain")
    report.add_argument("--retrieval", type=Path, help="run folder of retrieval")
    report.add_argument("--out", type=Path, default=Path("outputs/report.html"))
    add_json_option(report)
    report.set_defaults(verb=_report, name="report")


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """``--key value`` and ``--key=value`` pairs; values are YAML, dashes in keys become underscores.

    Raises:
        ValueError: for a word that is no option, or an option without a value.
    """
    overrides: dict[str, Any] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--"):
            raise ValueError(f"expected an option (--KEY VALUE), got {word!r}")
        key, equals, text = word[2:].partition("=")
        if not equals:
            if not queue:
                raise ValueError(f"option --{key} needs a value")
            text = queue.pop(0)
        overrides[key.replace("-", "_")] = _parse_value(key, text)
    return overrides


def _parse_value(key: str, text: str) -> Any:
    import yaml

    if re.match(r"\w+=", text):  # NAME=VALUE,...: a colon in a name is none of YAML's
        return text
    if "e" in text.lower():  # YAML reads 1e-4 as text
        with suppress(ValueError):
            return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--{key} {text!r} is no YAML value: {str(error).splitlines()[0]}") from error


def _demo(arguments: argparse.Namespace, overrides: dict[str, Any]) -> Answer:
    from .demo import run_demo

    return Answer({"report": run_demo(arguments.output_dir, seed=arguments.seed)})


def _report(arguments: argparse.Namespace, overrides: dict[str, Any]) -> Answer:
    from .report import write_report

    named = [text.rpartition("=") for text in arguments.classifier]
    others = (arguments.pretrain, arguments.explain, arguments.factor, arguments.retrieval)
    if not named and not any(others):
        raise ValueError("a report needs a classifier: --classifier NAME=FOLDER, such as pretrained=outputs/finetune")
    report = write_report(
        arguments.out,
        title="mammo: classification of mammograms" if named else "mammo: what was made of mammograms",
        datalist=arguments.datalist,
        pretrain=arguments.pretrain,
        classifiers={name or Path(folder).name: Path(folder) for name, _, folder in named},
        explanations=arguments.explain,
        factor=arguments.factor,
        retrieval=arguments.retrieval,
    )
    print(f"report: {report}")
    return Answer({"report": report})


def _predict(arguments: argparse.Namespace, overrides: dict[str, Any]) -> Answer:
    if arguments.ask and arguments.prompts is None:
        raise ValueError("--ask names tasks of --prompts: give both, such as --prompts ensemble --ask density")
    if arguments.prompts is not None or arguments.checkpoint.name == "zero_shot.pt":
        from .image_text.predict_prompted import predict_prompted

        named = {"prompts": arguments.prompts, "tasks": arguments.ask, "gate": arguments.gate}
        points = arguments.operating_points
        predict_prompted(arguments.images, arguments.checkpoint, arguments.out, operating_points=points, **named)
    else:
        from .predict import predict

        predict(arguments.images, arguments.checkpoint, arguments.out, arguments.gate, arguments.operating_points)
    with open(arguments.out, newline="", encoding="utf-8") as table:
        return Answer({"out": arguments.out, "rows": list(csv.DictReader(table))})


def _convert(arguments: argparse.Namespace, overrides: dict[str, Any]) -> Answer:
    from .convert import convert, export

    if arguments.export:
        export(arguments.weights, arguments.out)
    else:
        convert(arguments.weights, arguments.out, colour=arguments.colour, image_size=arguments.image_size)
    return Answer({"out": arguments.out})


if __name__ == "__main__":
    sys.exit(main())
