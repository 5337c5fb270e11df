"""What a user does with an installed mammo, in minutes: stages on a small phantom, MONAI's command, clear errors."""

from __future__ import annotations

import json
from pathlib import Path

from .environments import Environment

__all__ = ["check_chain", "check_help", "check_missing_extras"]

PATIENTS = 24
SMALL = ["--overlay", "tiny", "--image_size", "[64,32]", "--batch_size", "4", "--figures", "1"]
CLASSIFIER = "run/finetune/checkpoints/best.pt"
SERVICE = ["--folder", "service", "--checkpoint", CLASSIFIER]
SERVICE += ["--allowed", "PACS", "--pacs_ae_title", "PACS", "--pacs_host", "localhost"]
PHANTOM = f"""
from pathlib import Path
from mammo.pipeline.phantom import generate
generate(Path("data"), patients={PATIENTS}, seed=3, preset="demo", views="CC", test_fraction=0.34)
"""
MISSING = {
    "highdicom": (["process", "data", "results", "--checkpoint", CLASSIFIER, "--gate", "all"], "mammo[hospital]"),
    "pynetdicom": (["serve", "dimse", *SERVICE], "mammo[hospital]"),
    "dicomweb_client": (["serve", "dicomweb", *SERVICE[:4], "--url", "http://localhost:1"], "mammo[hospital]"),
    "transformers": (
        ["pretrain", "--bundle", "mammo_clip", "--overlay", "tiny", "--dataset_dir", "data"],
        "mammo[clip]",
    ),
    "onnx": (["bundle", "export", CLASSIFIER, "exported", "--weights_licence", "CC0-1.0"], "mammo[export]"),
    "dask": (["prepare", "cbis_ddsm", "data", "--store", "store", "--dask", "local"], "mammo[scale]"),
}
"""For each library of an extra: a command that needs it, and what its error must name."""


def check_help(here: Environment, folder: Path) -> str:
    """``mammo --help`` answers, and mammo comes from the environment.

    Raises:
        RuntimeError: where one of them does not hold.
    """
    place = here.run("python", "-c", "import mammo; print(mammo.__file__)", cwd=folder).strip()
    if not place.startswith(str(here.packages)):
        raise RuntimeError(f"mammo is imported from {place}, not from the wheel in {here.packages}")
    words = here.run("mammo", "--help", cwd=folder)
    return f"mammo --help: {len(words.splitlines())} lines, from the wheel"


def check_chain(here: Environment, folder: Path) -> str:
    """Phantom, prepare, pretrain, finetune, evaluate, predict and MONAI's own command, in an empty folder.

    Raises:
        RuntimeError: where a command fails, or leaves something else than what is expected of it.
    """
    here.run("python", "-c", PHANTOM, cwd=folder)
    here.run("mammo", "prepare", "cbis_ddsm", "data", cwd=folder)
    shared = [*SMALL, "--dataset_dir", "data", "--cache_dir", "cache"]
    start = "run/pretrain/checkpoints/best.pt"
    here.run("mammo", "pretrain", *shared, "--output_dir", "run/pretrain", cwd=folder)
    here.run("mammo", "finetune", *shared, "--pretrained", start, "--output_dir", "run/finetune", cwd=folder)
    here.run("mammo", "evaluate", *shared, "--checkpoint", CLASSIFIER, "--output_dir", "run/test", cwd=folder)
    here.run("mammo", "predict", "data", "--checkpoint", CLASSIFIER, "--out", "scores.csv", cwd=folder)
    _monai_run(here, folder)
    auc = json.loads((folder / "run/test/metrics.json").read_text(encoding="utf-8"))["levels"]["image"]["auc"]
    rows = len((folder / "scores.csv").read_text(encoding="utf-8").splitlines()) - 1
    if rows < 1:
        raise RuntimeError(f"mammo predict wrote no row into {folder / 'scores.csv'}")
    return f"prepare, pretrain, finetune, evaluate (AUC {auc['value']}), predict ({rows} rows), monai.bundle run"


def _monai_run(here: Environment, folder: Path) -> None:
    """``python -m monai.bundle run`` on the bundle as installed, without a dataset: the embedded phantom."""
    configs = here.packages / "mammo/bundles/swin_mim/configs"
    files = str([str(configs / "pretrain.yaml"), str(configs / "tiny.yaml")])
    small = ["--image_size", "[64,32]", "--figures", "1", "--logging_file=False", "--output_dir", "monai"]
    here.run("python", "-m", "monai.bundle", "run", "--config_file", files, *small, cwd=folder)
    if not (folder / "monai/checkpoints/best.pt").is_file():
        raise RuntimeError(f"monai.bundle run left no checkpoint in {folder / 'monai'}")


def check_missing_extras(here: Environment, folder: Path) -> str:
    """Without the extras, what needs them says in one line which to install; ``folder`` is that of the chain.

    Raises:
        RuntimeError: where a message has a traceback, or does not name the extra.
    """
    wrong = []
    for library, (words, expected) in MISSING.items():
        answer = here.fails("mammo", *words, cwd=folder)
        if "Traceback" in answer or expected not in answer:
            wrong.append(f"{library}: mammo {' '.join(words)}\n{answer[-800:]}")
    if wrong:
        raise RuntimeError("a missing extra is not said clearly:\n" + "\n".join(wrong))
    return "without extras the errors name " + ", ".join(sorted({extra for _, extra in MISSING.values()}))
