"""A study in miniature, and run folders whose results are known."""

import json

import pandas as pd
import pytest
from mammo.pipeline.study import Outcome, Outcomes, Recipe, Setting

SMALL = {"size": "micro", "image_size": [64, 32], "batch_size": 4, "device": "cpu", "bootstrap_draws": 20}


@pytest.fixture(scope="session")
def small_setting(phantom, tmp_path_factory):
    """Makes a setting on the phantom with a tiny network; all share prepared images."""
    cache = tmp_path_factory.mktemp("study_cache")

    def make(output_dir, **options):
        return Setting(phantom, output_dir, cache_dir=cache, options=SMALL | options, workers=2)

    return make


@pytest.fixture
def recipe(small_setting, tmp_path):
    return Recipe(small_setting(tmp_path), pretrain_steps=2, finetune_steps=4, validate_every=2)


@pytest.fixture
def finish():
    """Writes what a chain of stages would have left, and adds its outcome."""

    def write(folder, outcomes, stage, **files):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if isinstance(content, pd.DataFrame):
                content.to_csv(folder / f"{name}.csv", index=False)
            else:
                (folder / f"{name}.json").write_text(json.dumps(content))
        outcomes[stage.digest] = Outcome(folder, seconds=1.0)

    return write


@pytest.fixture
def outcomes():
    return Outcomes()
