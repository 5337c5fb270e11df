"""The shell completes verbs, options, choices and files, by the script that ``mammo completion`` prints."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

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

TYPED = {
    "zsh": ("zsh -f -i", "fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D"),
    "tcsh": ("tcsh -f -i", "source {folder}/_mammo"),
}
"""How each shell starts without anybody's settings, and what lets it complete."""


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


def typed(command: str, lines: list[str], expected: str, wait_s: float = 60) -> str:
    """What a shell shows on a terminal, until it shows what is expected."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe(command.split()[0], command.split(), os.environ | {"TERM": "vt100", "COLUMNS": "150"})
    shown, until, lines = "", time.monotonic() + wait_s, list(lines)
    while expected not in shown and time.monotonic() < until:
        if select.select([terminal], [], [], 1)[0]:
            shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(terminal, 4096).decode())
        elif lines:  # it waits
            os.write(terminal, lines.pop(0).encode())
    os.close(terminal)
    os.waitpid(process, 0)
    return shown


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("shell", TYPED)
def test_a_shell_completes_what_is_typed(shell, tmp_path, capsys):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    assert main(["completion", shell]) == 0
    (tmp_path / "_mammo").write_text(capsys.readouterr().out)
    start, setup = TYPED[shell]
    lines = [setup.format(folder=tmp_path) + "\n", "mammo pretrain --bundle mir\t"]
    assert "--bundle miram" in typed(start, lines, "--bundle miram")


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script_that_knows_every_stage(shell, capsys):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert [stage for stage in STAGES if stage not in text] == []
