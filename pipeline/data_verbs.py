"""Verbs of the command line that make and check data: from phantom and prepare to gate and deidentify."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .answer import Answer, add_json_option
from .phantom_verb import add_phantom_verb

if TYPE_CHECKING:
    from .datasets import Datalist

__all__ = ["add_data_verbs"]

logger = logging.getLogger(__name__)

DATASETS = (
    "cbis_ddsm, inbreast, bcdr, csaw_s, csaw_m, cmmd, vindr_mammo, rsna_2022, embed, mini_mias, cdd_cesm, "
    "mammo_clip_reports, mammo_clip_vindr, mammo_clip_detection, mammo_clip_rsna (Mammo-CLIP's tables), phantom, "
    "or table for any folder or CSV; datalist for a list that is there already"
)
# Those that this process may use; a batch system gives few of many.
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def add_data_verbs(verbs: Any) -> None:
    """Add the parsers of these verbs to the command line's subparsers."""
    add_phantom_verb(verbs, CPUS)
    _add_prepare(verbs)
    _add_combine(verbs)
    _add_crops(verbs)
    _add_folds(verbs)
    _add_audit(verbs)
    _add_gate(verbs)
    _add_deidentify(verbs)


def _add_prepare(verbs: Any) -> None:
    prepare = verbs.add_parser(
        "prepare",
        help="list a dataset's mammograms, split them by patient and prepare them once",
        description="Give the dataset and its folder first. Lists a dataset; with --store it also reads, masks, crops "
        "and resizes every image once. Further options are those of the dataset: --KEY VALUE, such as --split official "
        "or --images subtracted; `mammo prepare DATASET --help` tells them.",
        allow_abbrev=False,
        add_help=False,
    )
    prepare.add_argument("-h", "--help", action="store_true", help="this, and after a dataset what it takes")
    prepare.add_argument("dataset", nargs="?", help=DATASETS)
    prepare.add_argument("root", type=Path, nargs="?", help="folder of the dataset as downloaded, or the list")
    prepare.add_argument("--out", type=Path, help="datalist to write; ROOT/datalist.json by default")
    prepare.add_argument("--seed", type=int, default=0)
    prepare.add_argument("--store", type=Path, help="folder of prepared images: the cache_dir of later runs")
    prepare.add_argument("--image_size", type=int, nargs=2, default=(224, 224), metavar=("ROWS", "COLUMNS"))
    prepare.add_argument("--resize", default="pad", choices=("pad", "stretch"))
    prepare.add_argument("--background", default="keep", choices=("keep", "zero"))
    prepare.add_argument("--margin_px", type=int, default=8, help="original pixels kept around the breast")
    prepare.add_argument("--gate", default="training", choices=("training", "deploy", "all"))
    prepare.add_argument("--workers", type=int, default=CPUS, help="processes; all cores by default")
    prepare.add_argument("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster, or local")
    prepare.add_argument("--timeout", type=float, default=300.0, help="seconds that one image may take")
    prepare.add_argument("--force_recompute", action="store_true", help="prepare again what the store holds")
    prepare.add_argument("--show", type=Path, metavar="STORE", help="say what a store holds, verify it, and draw it")
    add_json_option(prepare)
    prepare.set_defaults(verb=_prepare, name="prepare", free_options=True, parser=prepare)


def _prepare(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .datasets.prepare import Preparation, prepare_dataset, prepare_images

    if arguments.help:
        return _help(arguments)
    if arguments.show is not None:
        return _show(arguments.show)
    if arguments.dataset is None or arguments.root is None:
        raise ValueError("mammo prepare takes a dataset and its folder, or --show STORE")
    if arguments.dataset == "datalist":
        out, datalist = arguments.root, _listed(arguments, overrides)
    else:
        out = arguments.out or arguments.root / "datalist.json"
        options = {
            name: _mapping(value) if name in ("columns", "values") else value for name, value in overrides.items()
        }
        datalist = prepare_dataset(arguments.dataset, arguments.root, out, seed=arguments.seed, **options)
    told = _told(out, datalist)
    if arguments.store is not None:
        how = Preparation(
            image_size=tuple(arguments.image_size),
            resize=arguments.resize,
            background=arguments.background,
            margin_px=arguments.margin_px,
            gate=arguments.gate,
            workers=arguments.workers,
            dask=arguments.dask,
            timeout_s=arguments.timeout,
            force_recompute=arguments.force_recompute,
        )
        found = prepare_images(datalist, arguments.store, how, out)
        told |= {"store": arguments.store, "usable": len(found.usable), "set_aside": found.quarantine}
    return Answer(told)


def _help(arguments: argparse.Namespace) -> Answer:
    from .datasets import ADAPTERS

    arguments.parser.print_help()
    if arguments.dataset in ADAPTERS:
        print(f"\n{arguments.dataset}, whose arguments are options (--KEY VALUE):\n")
        print(inspect.getdoc(ADAPTERS[arguments.dataset]))
    return Answer()


def _listed(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Any:
    """The datalist that ``mammo prepare datalist LIST`` names."""
    from .datasets import load_datalist, summarise

    if arguments.store is None or overrides:
        raise ValueError("mammo prepare datalist LIST takes --store and no option of a dataset")
    datalist = load_datalist(arguments.root)
    print(summarise(datalist))
    return datalist


def _told(path: Path, datalist: Datalist) -> dict[str, Any]:
    """What a machine is told of a datalist: the file, its hash, and how many images each part has."""
    from .datasets import datalist_sha256
    from .datasets.schema import SECTIONS

    listed: Mapping[str, Any] = datalist
    counts = {section: len(listed[section]) for section in SECTIONS if section in listed}
    return {"datalist": path, "sha256": datalist_sha256(datalist), "images": counts}


def _show(store: Path) -> Answer:
    from .datasets.show import contact_sheet, show_store

    text, damaged = show_store(store)
    print(text)
    found = {"store": store, "damaged": damaged}
    if damaged:
        return Answer(found, error=f"{len(damaged)} entries of {store} are damaged; mammo prepare makes them anew")
    pictures = contact_sheet(store, f"{store}.png")
    print(f"pictures: {pictures}")
    return Answer({**found, "pictures": pictures})


def _add_combine(verbs: Any) -> None:
    combine = verbs.add_parser("combine", help="several datalists as one", allow_abbrev=False)
    combine.add_argument("datalists", nargs="+", type=Path)
    combine.add_argument("--out", type=Path, required=True)
    combine.add_argument("--name", help="by default that of the file")
    add_json_option(combine)
    combine.set_defaults(verb=_combine, name="combine")


def _combine(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .datasets import combine, load_datalist, save_datalist, summarise

    lists = [load_datalist(path) for path in arguments.datalists]
    combined = combine(lists, name=arguments.name or arguments.out.stem)
    save_datalist(combined, arguments.out, keep_root=True)
    print(summarise(combined))
    return Answer(_told(arguments.out, combined))


def _add_crops(verbs: Any) -> None:
    crops = verbs.add_parser(
        "crops", help="lesion crops, background patches or random crops of a datalist's images", allow_abbrev=False
    )
    crops.add_argument("datalist", type=Path)
    crops.add_argument("--out", type=Path, required=True)
    crops.add_argument("--root", type=Path, help="folder that the datalist's paths are relative to")
    crops.add_argument("--kind", choices=("lesions", "background", "random"), default="lesions")
    crops.add_argument("--margin", type=float, help="share of the lesion's side added to it")
    crops.add_argument("--min_side_px", type=int, help="smallest side of a crop")
    crops.add_argument("--mask_policy", choices=("skip", "resize", "register"), help="for masks of another size")
    crops.add_argument("--types", nargs="+", help="kinds of lesions, such as mass calcification")
    crops.add_argument("--per_image", type=int, help="patches of each image")
    crops.add_argument("--side_px", type=int, help="side of patches")
    crops.add_argument("--side_share", type=float, help="side of random crops, as a share of the breast's")
    crops.add_argument("--max_overlap", type=float, help="largest share of a lesion in a background patch")
    crops.add_argument("--min_breast_share", type=float, help="smallest share of breast in a patch")
    crops.add_argument("--seed", type=int)
    crops.add_argument("--workers", type=int, default=CPUS)
    add_json_option(crops)
    crops.set_defaults(verb=_crops, name="crops")


def _crops(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    import inspect

    from .datasets import background_patches, lesion_crops, load_datalist, random_crops, save_datalist, summarise

    kinds: dict[str, Callable[..., Any]] = {
        "lesions": lesion_crops,
        "background": background_patches,
        "random": random_crops,
    }
    make = kinds[arguments.kind]
    known = list(inspect.signature(make).parameters)
    given = {name: value for name, value in vars(arguments).items() if name in _CROP_OPTIONS and value is not None}
    wrong = [name for name in given if name not in known]
    if wrong:
        raise ValueError(f"--{wrong[0]} is no option of {arguments.kind} crops")
    if arguments.kind == "random":
        given.setdefault("per_image", 1)
    datalist, report = make(load_datalist(arguments.datalist, arguments.root), **given)
    save_datalist(datalist, arguments.out, keep_root=True)
    problems = report.save(arguments.out.with_suffix(".problems.csv"))
    print(report.summary())
    print(summarise(datalist))
    print(f"{arguments.out}, problems in {problems.name}")
    return Answer({**_told(arguments.out, datalist), "problems": report.problems})


_CROP_OPTIONS = (
    "margin", "min_side_px", "mask_policy", "types", "per_image", "side_px", "side_share", "max_overlap",
    "min_breast_share", "seed", "workers",
)  # fmt: skip


def _add_folds(verbs: Any) -> None:
    folds = verbs.add_parser("folds", help="cross-validation: one datalist a fold, by patient", allow_abbrev=False)
    folds.add_argument("datalist", type=Path)
    folds.add_argument("--folds", type=int, default=5)
    folds.add_argument("--seed", type=int, default=0)
    folds.add_argument("--deal_test", action="store_true", help="deal the test patients too")
    add_json_option(folds)
    folds.set_defaults(verb=_folds, name="folds")


def _folds(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .datasets import cross_validation, load_datalist, save_datalist

    datalist = load_datalist(arguments.datalist)
    made = cross_validation(datalist, arguments.folds, seed=arguments.seed, keep_test=not arguments.deal_test)
    told = []
    for number, fold in enumerate(made, start=1):
        path = arguments.datalist.with_name(f"{arguments.datalist.stem}-fold{number}of{len(made)}.json")
        print(save_datalist(fold, path, keep_root=True))
        told.append(_told(path, fold))
    return Answer({"folds": told})


def _add_audit(verbs: Any) -> None:
    audit = verbs.add_parser(
        "audit", help="look for leaks between sections: patients, studies, files, look-alikes", allow_abbrev=False
    )
    audit.add_argument("datalist", type=Path)
    audit.add_argument("--root", type=Path, help="folder that the datalist's paths are relative to")
    audit.add_argument("--names_only", action="store_true", help="compare identifiers; read no image")
    audit.add_argument("--threshold", type=int, help="largest distance of pictures taken for the same")
    audit.add_argument("--workers", type=int, default=CPUS)
    audit.add_argument("--out", type=Path, help="CSV of what was found")
    add_json_option(audit)
    audit.set_defaults(verb=_audit, name="audit")


def _audit(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .datasets import audit, load_datalist

    options = {} if arguments.threshold is None else {"threshold": arguments.threshold}
    datalist = load_datalist(arguments.datalist, arguments.root)
    report = audit(datalist, images=not arguments.names_only, workers=arguments.workers, progress=True, **options)
    print(report.summary())
    if arguments.out is not None:
        print(f"found: {report.save(arguments.out)}")
    found = {**asdict(report), "leaks": [asdict(leak) for leak in report.leaks]}
    try:
        report.raise_for_leaks()
    except ValueError as error:
        return Answer(found, error=str(error))
    return Answer(found)


def _add_gate(verbs: Any) -> None:
    gate = verbs.add_parser("gate", help="may a network see these images, and if not, why", allow_abbrev=False)
    gate.add_argument("images", nargs="+", type=Path, help="files, or folders that are searched")
    gate.add_argument("--policy", default="deploy", help="training, deploy or all")
    gate.add_argument("--set", action="append", default=[], metavar="REASON=OUTCOME", help="such as lossy=refuse")
    gate.add_argument("--workers", type=int, default=CPUS)
    gate.add_argument("--out", type=Path, default=Path("gate.csv"))
    add_json_option(gate)
    gate.set_defaults(verb=_gate, name="gate")


def _gate(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .gate import gate_files, gate_policy

    policy = gate_policy(arguments.policy, _mapping(",".join(arguments.set)))
    summary = gate_files(arguments.images, policy, arguments.workers, progress=True)
    print(summary.table())
    print(f"rows: {summary.save(arguments.out)}")
    rows = [{"image": row.image, **row.verdict._asdict()} for row in summary.rows]
    return Answer({"policy": summary.policy.name, "outcomes": summary.outcomes().get("all", {}), "rows": rows})


def _add_deidentify(verbs: Any) -> None:
    export = verbs.add_parser("deidentify", help="copies of DICOM mammograms that name nobody", allow_abbrev=False)
    export.add_argument("images", nargs="+", type=Path, help="files, or folders that are searched")
    export.add_argument("--out", type=Path, required=True, help="a new or empty folder, or one of an earlier export")
    export.add_argument("--key_file", type=Path, help="file of the secret key; else MAMMO_DEIDENTIFY_KEY holds it")
    export.add_argument("--new_key", action="store_true", help="make the key file, readable by you alone")
    export.add_argument("--burned_in", choices=("refuse", "warn"), default="refuse", help="for text in the pixels")
    export.add_argument("--dates", choices=("shift", "remove"), default="shift")
    export.add_argument("--known_device", action="append", default=[], help="manufacturer or model to keep")
    export.add_argument("--crosswalk", type=Path, help="CSV of identifiers and pseudonyms, outside OUT")
    export.add_argument("--set_aside", type=Path, help="CSV of the files that were not exported, outside OUT")
    export.add_argument("--workers", type=int, default=CPUS)
    add_json_option(export)
    export.set_defaults(verb=_deidentify, name="deidentify")


def _deidentify(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .deidentify import create_key, deidentify, find_files, load_key
    from .gate import looks_burned_in

    if arguments.new_key and arguments.key_file is None:
        raise ValueError("--new_key needs --key_file, the file to make")
    for private in filter(None, (arguments.key_file, arguments.set_aside, arguments.crosswalk)):
        if private.resolve().is_relative_to(arguments.out.resolve()):
            raise ValueError(
                f"{private} names patients or opens the export, and lies in {arguments.out}; put it elsewhere"
            )
    make = arguments.new_key and not arguments.key_file.exists()
    report = deidentify(
        find_files(arguments.images),
        arguments.out,
        key=create_key(arguments.key_file) if make else load_key(arguments.key_file),
        burned_in=arguments.burned_in,
        looks_burned_in=looks_burned_in,
        dates=arguments.dates,
        known_devices=arguments.known_device,
        crosswalk=arguments.crosswalk,
        workers=arguments.workers,
        progress=True,
    )
    print(report.summary())
    # Paths may hold names: they are for --set_aside alone.
    counts = {**asdict(report), "set_aside": Counter(one["reason"] for one in report.set_aside)}
    if arguments.set_aside is not None:
        print(f"set aside: {report.save(arguments.set_aside)}")
    nothing = not report.written and not report.kept
    error = "nothing was exported; --set_aside FILE tells why of each file" if nothing else ""
    return Answer(counts, error=error)


def _mapping(text: Any) -> dict[str, str]:
    """``"a=b,c=d"`` as a mapping; a mapping stays one.

    Raises:
        ValueError: for a part without ``=``.
    """
    if isinstance(text, Mapping):
        return {str(name): str(value) for name, value in text.items()}
    parts = [part.strip() for part in str(text).split(",") if part.strip()]
    wrong = [part for part in parts if "=" not in part]
    if wrong:
        raise ValueError(f"expected NAME=VALUE, got {wrong[0]!r}")
    return {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in parts)}
