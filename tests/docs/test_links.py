"""The pages: every relative link leads somewhere, heading included, and the start page leads to every page."""

import re
from functools import cache
from pathlib import Path

import pytest
from mammo.docs.site.generated import REQUEST, fill

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "docs/**/*.md", "bundles/*/docs/README.md", "examples/*/README.md")
PAGES = sorted(
    path.relative_to(ROOT) for pattern in PATTERNS for path in ROOT.glob(pattern) if "_build" not in path.parts
)
START = Path("docs/index.md")
NOT_ON_THE_SITE = {Path("README.md")}
LINK = re.compile(r"\]\(([^)\s]+)\)")
TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)


def outside_of_code(text: str) -> str:
    """A page without what is shown as code."""
    text = re.sub(r"^( *)(```+)(?!\{toctree).*?^\1\2", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "code", text)


@cache
def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as code hosts and the site make them."""
    text = (ROOT / page).read_text()
    if any(kind != "api" for kind, _ in REQUEST.findall(text)):
        text = fill(text)
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^( *)(```+).*?^\1\2", "", text, flags=re.DOTALL | re.MULTILINE), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """The relative links of a page."""
    found = LINK.findall(outside_of_code((ROOT / page).read_text()))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def target(page: Path, link: str) -> Path:
    """The file that a link of a page names, relative to the checkout."""
    name = link.partition("#")[0]
    return ((ROOT / page).parent / name).resolve().relative_to(ROOT) if name else page


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_relative_link_resolves(page):
    for link in links(page):
        found, anchor = target(page, link), link.partition("#")[2]
        assert (ROOT / found).exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(found), f"{page}: {link}: no such heading among {sorted(anchors(found))}"


def test_the_start_page_leads_to_every_page():
    reached, queue = set(), [START]
    while queue:
        page = queue.pop()
        if page in reached or page.suffix != ".md" or not (ROOT / page).is_file():
            continue
        reached.add(page)
        entries = [line for body in TOCTREE.findall((ROOT / page).read_text()) for line in body.splitlines()]
        listed = [f"{entry}.md" for entry in entries if entry and not entry.startswith(":")]
        queue += [target(page, link) for link in [*listed, *links(page)]]
    assert set(PAGES) - NOT_ON_THE_SITE - reached == set()
