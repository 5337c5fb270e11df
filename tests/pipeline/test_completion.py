"""The shell completes verbs, options, choices and files, by the script that ``mammo completion`` prints."""

import shutil
import subprocess

import pytest
from mammo.pipeline.cli import main
from mammo.pipeline.completion import SHELLS
from mammo.pipeline.stage_verbs import STAGES

ASK = """
source {script}
COMP_WORDS=({words} "{last}")
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$(complete -p mammo | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    with pytest.MonkeyPatch.context() as patch, open(folder / "mammo.bash", "w") as file:
        patch.setattr("sys.stdout", file)
        assert main(["completion", "bash"]) == 0
    (folder / "weights.pt").touch()
    return folder / "mammo.bash"


def offered(script, words: str, last: str) -> set[str]:
    """What bash offers after ``words`` for a beginning."""
    asked = ["bash", "--norc", "-c", ASK.format(script=script, words=words, last=last)]
    return set(subprocess.run(asked, capture_output=True, text=True, check=True, cwd=script.parent).stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "last", "expected"),
    [
        ("mammo", "pretrain", {"pretrain", "pretrain_moco", "pretrain_dino"}),
        ("mammo study", "c", {"cross_validation"}),
        ("mammo finetune", "--label_p", {"--label_percentage"}),
        ("mammo pretrain --bundle", "", {"swin_mim", "miram", "mammo_clip"}),
        ("mammo finetune --overlay", "dual", {"dual_stage"}),
        ("mammo finetune --pretrained", "wei", {"weights.pt"}),
        ("mammo predict", "wei", {"weights.pt"}),
    ],
)
def test_bash_completes(script, words, last, expected):
    assert offered(script, words, last) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script_that_knows_every_stage(shell, capsys):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert [stage for stage in STAGES if stage not in text] == []
