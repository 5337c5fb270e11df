"""What the site's pages are made of at build time: options, verbs, packages, formulas."""

import ast
import configparser
import html
import re
from pathlib import Path

import pytest
import yaml
from mammo.docs.site import bundle_pages, command_line_page
from mammo.docs.site.generated import REQUEST
from mammo.pipeline import cli, completion, stage_options

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = sorted((ROOT / "bundles").glob("*/configs/*.yaml"))
BLOCK = re.compile(r"\.\. math::((?:.+\n?)(?:[ \t]+.*\n?)*)")


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_every_option_is_told_with_the_default_of_the_file(path):
    whole = yaml.safe_load(path.read_text())
    told = {option.name: yaml.safe_load(option.default) for option in stage_options.file_options(path)}
    assert told.items() <= whole.items()
    if not stage_options.is_stage(path):
        plain = {name for name in whole if name != "imports"}
        assert plain & told.keys() == told.keys()
        assert told or not plain


@pytest.mark.parametrize("bundle", ["swin_mim", "miram", "mammo_clip"])
def test_the_page_of_a_bundle_has_every_configuration_and_no_cell_too_many(bundle):
    page = bundle_pages.bundle_page(bundle)
    for path in (ROOT / "bundles" / bundle / "configs").glob("*.yaml"):
        assert f"### {path.stem}\n" in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}


def test_the_knobs_of_a_stage_have_their_comment_as_meaning():
    found = {
        option.name: option for option in stage_options.file_options(ROOT / "bundles/swin_mim/configs/pretrain.yaml")
    }
    assert found["mask_ratio"].meaning == "share of the eligible blocks that is hidden"
    assert "network_def" not in found


def test_the_page_of_the_command_line_has_every_verb_at_any_depth():
    page = command_line_page.command_line_page()
    names = [name for name, _ in completion.verb_parsers(cli.build_parser())]
    assert {"mammo prepare", "mammo study ablation", "mammo bundle export"} <= set(names)
    assert [name for name in names if f"## {name}\n" not in page] == []


def test_every_package_is_on_one_page_of_the_api():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pages = "\n".join(page.read_text() for page in (ROOT / "docs/api").glob("*.md"))
    named = [name for kind, names in REQUEST.findall(pages) for name in names.split() if kind == "api"]
    assert sorted(named) == sorted(set(config["options"]["packages"].split()) - {"mammo"})


def test_no_formula_keeps_a_command_that_became_no_sign():
    convert = pytest.importorskip("latex2mathml.converter", reason="of the extra docs").convert
    formulas = [formula for text in docstrings() for formula in formulas_of(text)]
    assert len(formulas) > 40
    assert [formula for formula in formulas if "\\" in shown(convert(formula))] == []


def docstrings() -> list[str]:
    """All docstrings of the package."""
    files = [file for room in ("networks", "transforms", "pipeline") for file in (ROOT / room).rglob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    return [ast.get_docstring(node) or "" for node in nodes if isinstance(node, (ast.ClassDef, ast.FunctionDef))]


def formulas_of(text: str) -> list[str]:
    """The formulas of a docstring."""
    return re.findall(r":math:`([^`]+)`", text) + [" ".join(found.split()) for found in BLOCK.findall(text)]


def shown(mathml: str) -> str:
    """What a browser draws of MathML, without its layout."""
    return html.unescape(re.sub(r"<[^>]+>", "", mathml))


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://x.org/a.js">',
        '<link rel="stylesheet" href="//x.org/a.css">',
        "<img alt='' src='http://x.org/a.png'>",
        "@import 'https://x.org/a.css'",
        "src: url(https://x.org/a.woff)",
    ],
)
def test_what_a_page_would_load_from_the_network_is_found(text):
    remote_parts = pytest.importorskip("mammo.docs.site.offline", reason="of the extra docs").remote_parts

    assert len(remote_parts(text)) == 1


def test_a_link_that_a_reader_may_follow_is_no_request():
    remote_parts = pytest.importorskip("mammo.docs.site.offline", reason="of the extra docs").remote_parts

    assert remote_parts('<a href="https://x.org">x</a><img src="a.png"><svg xmlns="http://www.w3.org/2000/svg">') == []
