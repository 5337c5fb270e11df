"""Rows: those of the package are whole, and what is no row is refused by name."""

import pytest
from mammo.pipeline.reproduce.catalogue import find_row, load_rows, read_rows
from mammo.pipeline.reproduce.data import Lists
from mammo.pipeline.reproduce.frozen import load_split
from mammo.pipeline.reproduce.listing import describe, listing, sheet
from mammo.pipeline.reproduce.plan import Plan
from mammo.pipeline.reproduce.sources import dataset_source, weights_source

ROWS = load_rows()


def plan_of(row, folder, **options):
    lists = folder / "main.json"
    lists.write_text("{}")
    weights = {name: str(folder / name) for name in row.weights}
    return Plan(row, Lists(str(folder), str(lists), str(lists), "", {}), weights, folder, options)


def test_each_id_is_there_once():
    assert len({row.id for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_has_its_split_and_tells_where_all_it_needs_is_offered(row):
    assert load_split(row.split_file)["sections"]
    for source in [dataset_source(part.dataset) for part in row.data] + [weights_source(n) for n in row.weights]:
        assert source.home
        assert source.terms
        assert source.layout or source.files
    assert row.differs


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_published_figures_are_shares_with_a_source(row):
    assert all(figure.value is None or 0 < figure.value < 1 for figure in row.figures)
    assert row.paper.arxiv or row.phantom or all(figure.value is None for figure in row.figures)


# Rows of a family differ in figures and a few options: one of each kind of chain is configured here.
@pytest.mark.parametrize("row", {tuple((s.stage, *s.options) for s in r.steps): r for r in ROWS}.values())
def test_the_bundle_knows_every_option_of_a_row(row, tmp_path):
    chain = plan_of(row, tmp_path).chain(3)
    assert [stage.name for stage in chain] == [step.stage for step in row.steps]
    for step, stage in zip(row.steps, chain, strict=True):
        assert all(stage.configuration[key] == value for key, value in step.options.items())


def test_a_row_without_training_has_one_seed(tmp_path):
    assert plan_of(find_row("mammoclip-b2-vindr-zeroshot"), tmp_path).seeds([4, 5]) == [4]
    assert plan_of(find_row("phantom-swin"), tmp_path).seeds([4, 5]) == [4, 5]


def test_seeds_share_nothing_that_is_trained(tmp_path):
    plan = plan_of(find_row("phantom-swin"), tmp_path)
    assert not {stage.digest for stage in plan.chain(0)} & {stage.digest for stage in plan.chain(1)}


@pytest.mark.parametrize(
    ("option", "words"), [("seed", "give --seeds"), ("max_epoch", "max_epochs"), ("tasks", "published figures")]
)
def test_an_option_that_a_row_sets_or_that_nobody_has_is_refused(option, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        plan_of(find_row("phantom-swin"), tmp_path, **{option: 1}).check()


def test_only_options_that_depart_from_the_protocol_are_told(tmp_path):
    assert plan_of(find_row("phantom-swin"), tmp_path, device="cpu", batch_size=8).changed == {"batch_size": 8}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"data": []}, "needs a dataset"),
        ({"figures": [{"value": 0.5}]}, "figures, number 1: missing 1 required"),
        ({"steps": [{"stage": "evaluate", "inputs": {"checkpoint": "finetune"}}]}, "takes 'finetune'"),
        ({"steps": [{"stage": "finetune", "datalist": "pretraining"}]}, "no dataset has that use"),
        ({"change": {"explain": {"figures": 0}}}, "change names 'explain'"),
    ],
)
def test_what_is_no_row_is_refused_by_name(changes, words, write_row):
    with pytest.raises(ValueError, match=words) as error:
        read_rows(write_row(**changes))
    assert "row.yaml: own-row" in str(error.value)


def test_a_row_near_the_name_is_offered():
    with pytest.raises(ValueError, match="phantom-swin"):
        find_row("fantom-swin")


def test_a_row_changes_what_the_rows_of_its_file_share(tmp_path):
    path = tmp_path / "rows.yaml"
    path.write_text(
        "common: {system: a, dataset: b, paper: {title: t, place: p}, data: [{dataset: phantom}], "
        "split: {rule: r, file: f}, bundle: swin_mim, options: {size: tiny, resize: pad}, figures: [], "
        "steps: [{stage: finetune, options: {max_epochs: 3}}], differs: [one]}\n"
        "rows: [{id: x, options: {size: base}, paper: {place: q}, change: {finetune: {max_epochs: 9}}, differs: [two]}]"
    )
    (row,) = read_rows(path)
    assert row.options == {"size": "base", "resize": "pad"}
    assert (row.paper.title, row.paper.place) == ("t", "q")
    assert row.steps[0].options == {"max_epochs": 9}
    assert row.differs == ["one", "two"]


def test_every_row_is_listed_with_what_it_needs():
    text = listing(ROWS)
    assert all(row.id in text for row in ROWS)
    row = find_row("mammoclip-b5-vindr-zeroshot")
    assert "b5-model-best-epoch-7.tar" in sheet(row)
    assert "PhysioNet" in sheet(row)
    assert describe(row)["needs"] == {"datasets": ["vindr_mammo"], "weights": ["mammo_clip_b5", "bio_clinical_bert"]}
