"""``mammo STAGE --help`` tells every option of the stage's configuration, as it stands there."""

import subprocess
import sys

import pytest
import yaml
from mammo.bundles import bundle_names, bundle_root
from mammo.pipeline.cli import main
from mammo.pipeline.stage_options import config_files, configurations, is_stage, stage_options

ALL = [(name, path.stem) for name in bundle_names() for path in configurations(name) if is_stage(path)]


@pytest.mark.parametrize(("bundle", "stage"), ALL)
def test_every_option_of_a_stage_has_its_default_and_a_meaning(bundle, stage):
    found = stage_options(bundle, stage)
    written = yaml.safe_load((bundle_root(bundle) / "configs" / f"{stage}.yaml").read_text())
    assert {one.name: yaml.safe_load(one.default) for one in found}.items() <= written.items()
    assert [one.name for one in found if not one.meaning] == []


def test_a_stage_tells_its_own_comment_before_that_of_another():
    found = {one.name: one.meaning for one in stage_options("mammo_clip", "finetune")}
    assert found["dropout"] == "before the head; published 0.3 for b2, 0.4 for b5"
    assert found["max_epochs"] == "VinDr; RSNA 20"


def test_help_lays_overlays_over_the_defaults(capsys):
    assert main(["pretrain", "--overlay", "tiny", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "options of swin_mim's pretrain.yaml with tiny" in text
    assert "--size Swin: micro, tiny, small or base (default: micro)" in text
    assert "dual_stage" in text


def test_help_of_a_stage_loads_no_heavy_library():
    heavy = "[name for name in ('torch', 'monai', 'numpy') if name in sys.modules]"
    code = f"import sys, mammo.pipeline.cli as cli; cli.main(['pretrain', '--help']); print({heavy})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"


def test_help_of_another_bundle(capsys):
    assert main(["pretrain", "--help", "--bundle", "miram"]) == 0
    assert "options of miram's pretrain.yaml" in capsys.readouterr().out


def test_help_of_a_bundle_that_is_not_there_names_those_that_are(capsys):
    assert main(["pretrain", "--help", "--bundle", "swin"]) == 1
    assert "mammo_clip, miram, swin_mim" in capsys.readouterr().err


def test_a_stage_that_a_bundle_has_not_is_refused_by_name():
    with pytest.raises(ValueError, match=r"no configuration 'detect'.*pretrain"):
        config_files("miram", "detect")
