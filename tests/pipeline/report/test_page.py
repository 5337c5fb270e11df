"""The report as a whole: complete, honest about gaps, safe, readable and whole or not there."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from mammo.pipeline.report import ReportError, write_report

TITLES = [
    "Summary",
    "Data",
    "Pretraining without labels",
    "Training of the classifiers",
    "Results on test patients",
    "Decisions at a threshold chosen on validation patients",
    "Calibration",
    "Subgroups",
    "Explanations",
    "Configuration and versions",
]


class Page(HTMLParser):
    """What a browser would find: tags with attributes, and text by section heading."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self.inside, self.heading, self.verbatim = "", "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "h2":
            self.inside, self.heading = "h2", ""
        self.verbatim = tag in ("style", "title")

    def handle_endtag(self, tag):
        if tag == "h2":
            self.words[self.heading] = ""
            self.inside = ""
        self.verbatim = False

    def handle_data(self, data):
        if self.inside == "h2":
            self.heading += data
        elif self.heading and not self.verbatim:
            self.words[self.heading] += data


@pytest.fixture(scope="module")
def text(report_path) -> str:
    return report_path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


@pytest.fixture
def copy(fake_runs, tmp_path):
    """The runs in a folder of their own, free to be damaged; returns (root, keyword arguments)."""
    shutil.copytree(fake_runs.root, tmp_path / "runs")
    arguments = fake_runs.arguments()
    move = lambda path: tmp_path / "runs" / path.relative_to(fake_runs.root)  # noqa: E731
    arguments |= {key: move(arguments[key]) for key in ("datalist", "pretrain", "explanations")}
    arguments["classifiers"] = {name: move(path) for name, path in fake_runs.classifiers.items()}
    return tmp_path / "runs", arguments


def test_a_folder_receives_report_html(report_path):
    assert report_path.name == "report.html"


def test_every_section_is_there_in_order(page):
    assert list(page.words) == TITLES


def test_a_complete_set_of_runs_misses_nothing(page):
    assert [title for title, words in page.words.items() if "Missing:" in words] == []


def test_the_summary_tells_the_figures_of_metrics_json(page, fake_runs):
    for folder in fake_runs.classifiers.values():
        auc = json.loads((folder / "test/metrics.json").read_text())["levels"]["image"]["auc"]
        assert f"{auc['value']:.3f}" in page.words["Summary"]
        assert f"{auc['low']:.3f} to {auc['high']:.3f}" in page.words["Summary"]


def test_the_summary_says_what_it_may_be_used_for_and_that_it_is_not_calibrated(page):
    assert "research use only" in page.words["Summary"]
    assert "not calibrated" in page.words["Summary"]


def test_the_notes_are_shown(page, fake_runs):
    assert fake_runs.arguments()["notes"][0] in page.words["Summary"]


def test_each_explanation_measure_stands_beside_its_chance(page):
    words = page.words["Explanations"]
    assert "Chance, image" in words
    assert "Chance, breast" in words
    assert "1 of 60 maps are blank" in words


def test_no_more_than_twelve_cases_are_shown(page):
    assert "12 of 14 cases" in page.words["Explanations"]


def test_the_page_needs_nothing_from_outside(text, page):
    assert "http://" not in text
    assert "https://" not in text
    assert not {"script", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    linked = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href")]
    assert all(value.startswith(("data:", "#")) for value in linked)


def test_every_link_leads_somewhere(page):
    anchors = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {attrs["href"][1:] for tag, attrs in page.tags if tag == "a"} <= anchors


def test_every_picture_has_words_and_content(page):
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) > 18
    for attrs in pictures:
        assert attrs["alt"]
        assert len(base64.b64decode(attrs["src"].split(",")[1])) > 200


def test_every_table_has_a_caption_and_row_headers(page):
    names = [tag for tag, _ in page.tags]
    scopes = [attrs.get("scope") for tag, attrs in page.tags if tag == "th"]
    assert names.count("table") == names.count("caption") > 10
    assert set(scopes) == {"row", "col"}


def test_a_hostile_patient_id_and_configuration_stay_text(text, copy):
    root, arguments = copy
    table = root / "pretrained/test/predictions.csv"
    rows = table.read_text().splitlines()
    # The first test image is the worst mistake of all: its patient, who is named by a script tag, gets listed.
    wrong = next(index for index, row in enumerate(rows) if "<script>" in row)
    fields = rows[wrong].split(",")
    fields[rows[0].split(",").index("label")] = "1"
    fields[-1] = "0.0"
    table.write_text("\n".join([*rows[:wrong], ",".join(fields), *rows[wrong + 1 :]]) + "\n")
    hostile = write_report(root / "hostile.html", **arguments | {"title": "<img src=x onerror=alert(1)>"}).read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;</td>" in hostile
    assert "note: &#39;&lt;script&gt;" in hostile
    for content in (text, hostile):
        assert "<script" not in content
        assert "<img src=x" not in content


def test_nothing_given_is_said_to_be_missing_section_by_section(tmp_path):
    page = Page(write_report(tmp_path / "bare.html", title="Bare").read_text())
    assert list(page.words) == TITLES
    assert [title for title in TITLES if "Missing:" not in page.words[title]] == []


def test_each_file_that_is_not_there_is_said_to_be_missing_in_its_section(copy):
    root, arguments = copy
    gone = {
        "pretrain/history.json": ("Pretraining without labels", "history.json"),
        "pretrained/history.json": ("Training of the classifiers", "history.json of pretrained"),
        "pretrained/test/metrics.json": ("Results on test patients", "metrics.json of pretrained"),
        "from_scratch/test/predictions.csv": ("Results on test patients", "curves of from scratch"),
        "explain/explanations.csv": ("Explanations", "explanations.csv"),
        "pretrain/environment.json": ("Configuration and versions", "environment.json of pretraining"),
        "from_scratch/config.yaml": ("Configuration and versions", "config.yaml of from scratch"),
    }
    for file in gone:
        (root / file).unlink()
    words = Page(write_report(root / "out.html", **arguments).read_text()).words
    silent = [
        file for file, (at, said) in gone.items() if not re.search(f"Missing: [^\n]*{re.escape(said)}", words[at])
    ]
    assert silent == []


@pytest.mark.parametrize(
    "file",
    [
        "datalist.json",
        "pretrain/history.json",
        "pretrain/config.yaml",
        "pretrain/environment.json",
        "pretrained/test/metrics.json",
        "pretrained/test/predictions.csv",
        "explain/explanations.csv",
        "pretrain/figures/reconstruction_epoch_001.png",
        "explain/figures/Case_00002_LEFT_CC.png",
    ],
)
def test_a_corrupt_file_is_named_and_leaves_the_old_report_alone(copy, file):
    root, arguments = copy
    out = root / "out.html"
    out.write_text("the report of yesterday")
    (root / file).write_bytes(b"{\x00 [\xff\xfe")
    before = sorted(path.name for path in root.iterdir())
    with pytest.raises(ValueError, match=re.escape(file)):
        write_report(out, **arguments)
    assert out.read_text() == "the report of yesterday"
    assert sorted(path.name for path in root.iterdir()) == before


@pytest.mark.parametrize("name", ["datalist", "pretrain", "explanations"])
def test_a_path_that_does_not_exist_is_named(copy, name):
    root, arguments = copy
    with pytest.raises(ReportError, match="nowhere"):
        write_report(root / "out.html", **arguments | {name: root / "nowhere"})


def test_metrics_without_a_needed_figure_are_refused_by_name(copy):
    root, arguments = copy
    path = root / "pretrained/test/metrics.json"
    content = json.loads(path.read_text())
    del content["levels"]["image"]["auc"]["low"]
    path.write_text(json.dumps(content))
    with pytest.raises(ReportError, match=r"metrics.json: levels.image.auc.low is missing"):
        write_report(root / "out.html", **arguments)


def test_metrics_of_another_run_are_noticed(copy):
    root, arguments = copy
    shutil.copy(root / "from_scratch/test/metrics.json", root / "pretrained/test/metrics.json")
    words = Page(write_report(root / "out.html", **arguments).read_text()).words
    assert "One of the files is from another run" in words["Results on test patients"]


def test_a_datalist_other_than_the_runs_is_noticed(copy):
    root, arguments = copy
    arguments["datalist"].write_text(arguments["datalist"].read_text() + "\n")
    words = Page(write_report(root / "out.html", **arguments).read_text()).words
    assert "another datalist" in words["Configuration and versions"]


def test_the_report_is_the_same_twice(fake_runs, tmp_path, text):
    again = write_report(tmp_path / "again.html", **fake_runs.arguments()).read_text()
    pictures = re.compile(r'src="data:[^"]*"')  # matplotlib names the parts of an SVG at random
    assert pictures.sub("", again) == pictures.sub("", text)
