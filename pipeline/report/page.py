"""One self-contained HTML page from the folders of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..files import write_atomically
from .blocks import Section, Text, Tone
from .calibration_section import calibration_section
from .data_section import data_section
from .decision_section import threshold_section
from .explanation_section import explanation_section, explanation_summary, read_explanation_table
from .factor_section import factor_section
from .headline import headline_section
from .inputs import Run, read_quarantine, read_run
from .provenance_section import provenance_section
from .result_section import paired_differences, result_section
from .retrieval_section import retrieval_section
from .subgroup_section import subgroup_section
from .training_section import pretraining_section, training_section

TEMPLATE = Path(__file__).with_name("report.html")


def write_report(
    out: Path,
    *,
    title: str,
    datalist: Path | None = None,
    pretrain: Path | None = None,
    classifiers: Mapping[str, Path] | None = None,
    explanations: Path | None = None,
    factor: Path | None = None,
    retrieval: Path | None = None,
    notes: Sequence[str] = (),
    draws: int = 2000,
    seed: int = 0,
) -> Path:
    """Write ``report.html``: one file without script, fonts or any other outside resource.

    What is not given or not found is said to be missing, section by section; a page of retrieval or Mammo-FActOR
    without a classifier leaves out the sections that would say nothing else. The file appears whole or not at all.

    Args:
        out: the file to write (``*.html``), or a folder that receives ``report.html``.
        title: heading of the page.
        datalist: datalist JSON, for counts and leaks.
        pretrain: run folder of pretraining.
        classifiers: run folders by name; the first one gets the closer look (subgroups, worst mistakes).
        explanations: run folder of an explanation run.
        factor: run folder of factor_explain; None has no section of it.
        retrieval: run folder of retrieval; None has no section of it.
        notes: paragraphs for the top, such as "all images are synthetic".
        draws: bootstrap draws of patients for bands and intervals.
        seed: of the draws.

    Returns:
        Path of the file.

    Raises:
        ValueError: a given file or folder does not exist, or a file cannot be read; the message names it.
        OSError: as :func:`~mammo.pipeline.files.write_atomically`.
    """
    runs = [read_run(name, Path(folder)) for name, folder in (classifiers or {}).items()]
    first = None if pretrain is None else read_run("pretraining", Path(pretrain))
    folder = None if explanations is None else Path(explanations)
    listed = None if datalist is None else Path(datalist)
    named = ({} if first is None else {"pretraining": first}) | {run.name: run for run in runs}
    sections = _sections(listed, first, runs, folder, notes, named, draws=draws, seed=seed)
    if factor is not None:
        sections.insert(-1, factor_section(Path(factor)))  # provenance stays the last
    if retrieval is not None:
        sections.insert(-1, retrieval_section(Path(retrieval)))
    if not runs and (factor is not None or retrieval is not None):
        sections = [section for section in sections if not _all_missing(section)]
    return _write(Path(out), render(title, sections))


def render(title: str, sections: Sequence[Section]) -> str:
    """The page as text; everything but the template itself is escaped."""
    loader = FileSystemLoader(TEMPLATE.parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(TEMPLATE.name).render(title=title, sections=sections)


def _sections(
    datalist: Path | None,
    pretrain: Run | None,
    runs: Sequence[Run],
    explanations: Path | None,
    notes: Sequence[str],
    named: Mapping[str, Run],
    *,
    draws: int,
    seed: int,
) -> list[Section]:
    pairs = paired_differences(runs, draws=draws, seed=seed)
    table = read_explanation_table(explanations)
    summary = explanation_summary(table, draws=draws, seed=seed)
    quarantines = {name: run.quarantine for name, run in named.items()}
    if explanations is not None and (explanations / "quarantine.csv").is_file():
        quarantines["explanations"] = read_quarantine(explanations / "quarantine.csv")
    return [
        headline_section(runs, pairs, summary, notes),
        data_section(datalist, quarantines),
        pretraining_section(pretrain),
        training_section(runs),
        result_section(runs, pairs, draws=draws, seed=seed),
        threshold_section(runs),
        calibration_section(runs),
        subgroup_section(runs),
        explanation_section(explanations, table, summary, *([runs[0].classes] if runs else [])),
        provenance_section(named, explanations, datalist),
    ]


def _all_missing(section: Section) -> bool:
    return all(isinstance(block, Text) and block.tone is Tone.MISSING for block in section.blocks)


def _write(out: Path, page: str) -> Path:
    path = out if out.suffix == ".html" else out / "report.html"
    write_atomically(path, page.encode())
    return path
