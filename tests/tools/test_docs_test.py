"""The runner of the pages' commands: what it finds, what may be declared, what it tells."""

import sys
from pathlib import Path

import pytest
from mammo.tools.docs_test.__main__ import PLAN, ROOT
from mammo.tools.docs_test.blocks import find_blocks, insert_options, pages_of
from mammo.tools.docs_test.declared import Fixture, Page, Plan, load_plan, plan_page
from mammo.tools.docs_test.options import wrong_options
from mammo.tools.docs_test.runner import Runner
from mammo.tools.docs_test.table import PageResult, render

PAGE = """# A page
    make demo        # indented
text
    no command, only indented

```bash
# a comment between commands
mammo one --a 1 \\
    --b "x # y"      # two lines

for n in 1 2; do
  mammo two $n
done
python - <<'END'
print("mammo")
END
```
- in a list
  ```bash
  mammo three
  ```
```yaml
mammo: serve
```
```python
x = 1

print(x)
```
"""


def texts(page: str) -> list[list[str]]:
    return [[command.text for command in block.commands] for block in find_blocks(page)]


def test_commands_are_found_whole_and_in_order():
    indented, shell, listed, python = texts(PAGE)
    assert indented == ["make demo        # indented"]
    assert [command.split("\n")[0][:9] for command in shell] == ["mammo one", "for n in ", "python - "]
    assert shell[0].endswith("# two lines")
    assert shell[2].endswith("END")
    assert listed == ["mammo three"]
    assert python == ["x = 1\n\nprint(x)"]


def test_a_command_knows_its_line():
    lines = PAGE.splitlines()
    for block in find_blocks(PAGE):
        for command in block.commands:
            assert lines[command.line - 1].strip() == command.text.split("\n")[0].strip()


def test_of_a_console_only_what_is_typed_is_a_command():
    assert texts("```console\n$ mammo --help\nusage: mammo\n$ ls\n```\n") == [["mammo --help", "ls"]]


@pytest.mark.parametrize(
    ("page", "words"), [("```\nmammo demo\n```\n", "names no language"), ("```bash\nls\n", "never closed")]
)
def test_what_nobody_would_run_is_refused(page, words):
    with pytest.raises(ValueError, match=words):
        find_blocks(page)


def test_a_command_without_an_end_is_refused():
    with pytest.raises(ValueError, match="line 2: the command 'for n in 1; do' has no end"):
        find_blocks("```bash\nfor n in 1; do\n  ls\n```\n")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("mammo x", "mammo x --n 1"),
        ("mammo x '#'   # why", "mammo x '#' --n 1  # why"),
        ("mammo x \\\n  --y 2  # why", "mammo x \\\n  --y 2 --n 1  # why"),
    ],
)
def test_options_go_before_the_comment(command, expected):
    assert insert_options(command, "--n 1") == expected


def planned(page: Page, *commands: str):
    return plan_page(page, find_blocks("```bash\n" + "\n".join(commands) + "\n```\n"))


def test_declarations_change_only_what_they_match():
    page = Page(
        smaller=[{"match": "pretrain", "add": "--max_epochs 1", "numbers": {"n=300": "n=4"}}],
        not_run=[{"match": "sudo", "reason": "changes the system"}],
    )
    first, second, third = planned(page, "mammo pretrain n=300", "mammo report", "sudo ls")
    assert (first.text, first.smaller) == ("mammo pretrain n=4 --max_epochs 1", True)
    assert (second.text, second.smaller, second.reason) == ("mammo report", False, "")
    assert (third.reason, third.smaller) == ("changes the system", False)


def test_a_declaration_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing matches: 'gone'"):
        planned(Page(not_run=[{"match": "gone", "reason": "x"}]), "ls")


@pytest.mark.parametrize("added", ["--steps 3", "--steps 2 --seeds 0 1 2"])
def test_an_added_option_may_not_enlarge_what_is_printed(added):
    with pytest.raises(ValueError, match="is larger than line 2 has it"):
        planned(Page(smaller=[{"match": "study", "add": added}]), "mammo study --seeds 0 1 --steps 2 --lr 1e-3  # text")
    planned(
        Page(smaller=[{"match": "study", "add": "--steps 1 --seeds 0 --lr 1e-4"}]), "mammo study --seeds 0 1 --steps 2"
    )


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("{smaller: [{match: a, numbers: {n=3: n=4}}]}", "is not 'n=3' with smaller numbers"),
        ("{smaller: [{match: a, numbers: {train 3: demo 3}}]}", "is not 'train 3' with smaller numbers"),
        ("{smaller: [{match: a, add: other_verb}]}", "add is options"),
        ("{not_run: [{match: a}]}", "say why"),
        ("{have: {x: unknown}}", "no fixture 'unknown'"),
        ("{skip: []}", "a page has have"),
    ],
)
def test_what_would_hide_a_wrong_command_is_refused(tmp_path, page, words):
    (tmp_path / "pages.yaml").write_text(f"fixtures: {{}}\npages: {{p.md: {page}}}\n")
    with pytest.raises(ValueError, match=words):
        load_plan(tmp_path / "pages.yaml")


def test_every_declaration_of_this_repository_matches_its_page():
    plan = load_plan(PLAN)
    pages = {page.relative_to(ROOT).as_posix(): page for page in pages_of(ROOT)}
    assert set(plan.pages) <= set(pages)
    for name, page in pages.items():
        plan_page(plan.pages.get(name, Page()), find_blocks(page.read_text()))


def test_every_mammo_command_of_this_repository_has_options_that_are_there():
    plan, wrong = load_plan(PLAN), []
    for page in pages_of(ROOT):
        name = page.relative_to(ROOT).as_posix()
        for one in plan_page(plan.pages.get(name, Page()), find_blocks(page.read_text())):
            text = one.text or one.command.text
            if text.startswith("mammo ") and (reason := wrong_options(text)):
                wrong.append(f"{name}:{one.command.line} {reason}")
    assert wrong == []


@pytest.fixture
def run(tmp_path):
    """A function that runs one page of a checkout of its own."""

    def page(text: str, declared: Page | None = None, fixtures: dict[str, Fixture] | None = None) -> PageResult:
        root = tmp_path / "checkout"
        root.mkdir()
        (root / "README.md").write_text(text)
        plan = Plan(fixtures or {}, {"README.md": declared or Page()})
        return Runner(root, tmp_path / "work", Path(sys.executable).parent, plan).run_page(root / "README.md")

    return page


def test_blocks_share_a_folder_and_commands_of_a_block_a_shell(run):
    result = run('```bash\nA=5\necho $A > kept\n```\n```bash\ntest $(cat kept) = 5\ntest -z "$A"\n```\n')
    assert (result.failed, result.blocks, len(result.planned)) == ([], 2, 4)


def test_a_failure_names_line_status_and_output_and_the_next_block_runs(run, tmp_path):
    result = run("```bash\ntrue\necho said; (exit 7)\ntouch not_reached\n```\n```bash\ntouch reached\n```\n")
    [text] = result.failed
    assert "line 3, exit status 7" in text
    assert "said" in text
    assert [path.name for path in tmp_path.rglob("*reached")] == ["reached"]


def test_fixtures_are_made_once_and_copied(run, tmp_path):
    fixtures = {"a": Fixture(f"echo x >> {tmp_path}/count; echo y > $OUT"), "b": Fixture("cp in $OUT", {"in": "a"})}
    result = run("```bash\ncmp one deep/two\n```\n", Page(have={"one": "a", "deep/two": "b"}), fixtures)
    assert result.failed == []
    assert (tmp_path / "count").read_text() == "x\n"


def test_a_command_that_is_not_run_still_has_its_options_read():
    assert wrong_options("mammo serve status /var/lib/x   # all") == ""
    assert "invalid choice" in wrong_options("mammo serve stop /var/lib/x")
    assert "unknown option --sizes" in wrong_options("mammo report --sizes 3")
    assert "unknown option --epoch" in wrong_options("mammo pretrain --epoch 3")
    assert wrong_options("mammo pretrain --overlay tiny --max_epochs 3") == ""


def test_the_table_tells_every_page_and_every_reason():
    page = Page(
        smaller=[{"match": "pretrain", "add": "--max_epochs 1"}], not_run=[{"match": "sudo", "reason": "changes it"}]
    )
    commands = planned(page, "mammo pretrain", "ls", "sudo ls")
    text = render([PageResult("a.md", commands, ["line 2"], 61.4, 1), PageResult("b.md")])
    row = next(line for line in text.splitlines() if line.startswith("a.md"))
    assert row.split()[1:] == ["1", "3", "1", "1", "1", "1", "61"]
    assert "with --max_epochs 1" in text
    assert "changes it" in text
    assert "a.md: line 2" in text
