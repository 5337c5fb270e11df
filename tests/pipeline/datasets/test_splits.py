from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mammo.pipeline.datasets.patient_split import patient_split_datalist
from mammo.pipeline.datasets.splits import (
    dealing_order,
    label_fraction,
    patient_key,
    patient_strata,
    split_patients,
    split_records,
    strata_by_dataset,
    stratum_fields,
)

STRATA = st.dictionaries(st.text("0123456789P_", min_size=1, max_size=6), st.integers(-1, 3), max_size=80)
SHARES = (
    st.lists(st.integers(0, 10), min_size=2, max_size=4)
    .filter(any)
    .map(lambda parts: {f"section{i}": part / sum(parts) for i, part in enumerate(parts)})
)
PERCENTAGES = st.floats(0.5, 100)
THIRDS = {"training": 0.6, "validation": 0.2, "test": 0.2}
# Ids that two datasets share, each a patient of its own.
POOLED = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b"]), st.text("012", min_size=1, max_size=3)), st.integers(-1, 3), max_size=60
)


def as_records(strata, images=2):
    return [
        {"image": f"{p}{i}", "patient_id": p, "image_id": f"{p}{i}", "dataset": "x", "label": [c if i else -1]}
        for p, c in strata.items() for i in range(images)
    ]  # fmt: skip


def as_pooled_records(strata, images=2):
    return [
        {"image": "i", "patient_id": p, "image_id": f"{p}{i}", "dataset": d, "label": [c if i else -1]}
        for (d, p), c in strata.items() for i in range(images)
    ]  # fmt: skip


@settings(deadline=None)
@given(STRATA, SHARES, st.integers(0, 100))
def test_each_patient_is_dealt_once_and_each_class_evenly(strata, shares, seed):
    dealt = split_patients(strata, shares, seed)
    assert dealt.keys() == strata.keys()
    used = [name for name, share in shares.items() if share > 0]
    for stratum, total in Counter(strata.values()).items():
        counts = Counter(dealt[p] for p, c in strata.items() if c == stratum)
        for name in used:
            # Largest remainder is less than one off, and one more is moved for each section that would stay empty.
            assert abs(counts[name] - shares[name] * total) < len(used) + 1
            assert counts[name] or total < len(used)


@settings(deadline=None)
@given(STRATA, SHARES, st.integers(0, 100), st.randoms())
def test_dealing_depends_on_the_seed_and_not_on_the_order(strata, shares, seed, random):
    shuffled = list(strata.items())
    random.shuffle(shuffled)
    assert split_patients(dict(shuffled), shares, seed) == split_patients(strata, shares, seed)


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), st.integers(0, 100))
def test_a_section_has_its_share_of_each_class_to_within_one_patient(sizes, seed):
    strata = {f"{c}_{n}": c for c, size in enumerate(sizes) for n in range(size)}
    dealt = split_patients(strata, THIRDS, seed)
    for stratum, total in enumerate(sizes):
        counts = Counter(dealt[p] for p, c in strata.items() if c == stratum)
        if total * min(THIRDS.values()) >= 1:
            assert all(abs(counts[name] - share * total) < 1 for name, share in THIRDS.items())


@settings(deadline=None)
@given(STRATA, SHARES, st.integers(0, 100), st.integers(-1, 3))
def test_a_patient_who_is_added_moves_few_of_the_same_class_and_none_of_another(strata, shares, seed, stratum):
    before = split_patients(strata, shares, seed)
    after = split_patients({**strata, "added": stratum}, shares, seed)
    moved = [patient for patient in strata if before[patient] != after[patient]]
    assert {strata[patient] for patient in moved} <= {stratum}
    assert len(moved) <= 2 * (sum(share > 0 for share in shares.values()) - 1)


@settings(deadline=None)
@given(STRATA, PERCENTAGES, st.integers(0, 100), st.integers(-1, 3))
def test_a_patient_who_is_added_takes_the_place_of_one_other_label_at_most(strata, percentage, seed, stratum):
    before, after = (
        {r["patient_id"] for r in label_fraction(as_records(all_), percentage, seed)}
        for all_ in (strata, {**strata, "added": stratum})
    )
    gone, come = before - after, after - before
    assert {strata[patient] for patient in gone | come - {"added"}} <= {stratum}
    assert len(gone) <= 1
    assert len(come) <= 1


def test_large_groups_get_their_share_exactly():
    strata = {f"P{n}": n % 2 for n in range(1000)}
    dealt = split_patients(strata, {"training": 0.6, "validation": 0.2, "test": 0.2}, 0)
    assert Counter((dealt[p], c) for p, c in strata.items()) == {
        ("training", 0): 300, ("training", 1): 300, ("validation", 0): 100, ("validation", 1): 100,
        ("test", 0): 100, ("test", 1): 100,
    }  # fmt: skip


@pytest.mark.parametrize("shares", [{"training": 0.5, "test": 0.6}, {"training": 1.2, "test": -0.2}])
def test_shares_that_do_not_sum_to_one_are_refused(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        split_patients({"P1": 0}, shares, 0)


@settings(deadline=None)
@given(STRATA, PERCENTAGES, PERCENTAGES, st.integers(0, 100))
def test_a_smaller_share_lies_inside_a_larger_one(strata, first, second, seed):
    records = as_records(strata)
    small, large = (
        {r["image_id"] for r in label_fraction(records, percentage, seed)} for percentage in sorted((first, second))
    )
    assert small <= large


@settings(deadline=None)
@given(POOLED, st.integers(0, 100), st.randoms())
def test_the_published_shares_are_nested_and_do_not_depend_on_the_order(strata, seed, random):
    records = as_pooled_records(strata)
    shuffled = random.sample(records, len(records))
    drawn = [label_fraction(records, percentage, seed) for percentage in (1, 10, 25, 50, 100)]
    keys = [{patient_key(r) for r in kept} for kept in drawn]
    assert all(small <= large for small, large in pairwise(keys))
    assert drawn[-1] == records
    assert keys == [{patient_key(r) for r in label_fraction(shuffled, p, seed)} for p in (1, 10, 25, 50, 100)]


@settings(deadline=None)
@given(POOLED, PERCENTAGES, st.integers(0, 100))
def test_equal_ids_of_two_datasets_are_kept_or_left_on_their_own(strata, percentage, seed):
    kept = Counter(patient_key(r) for r in label_fraction(as_pooled_records(strata), percentage, seed))
    assert set(kept.values()) <= {2}  # whole patients
    for group in {(d, c) for (d, _), c in strata.items()}:
        patients = [key for key, c in strata.items() if (key[0], c) == group]
        exact = len(patients) * percentage / 100
        count = sum(key in kept for key in patients)
        assert count >= 1
        assert abs(count - exact) <= max(0.5, 1 - exact) + 1e-9


@settings(deadline=None)
@given(STRATA, PERCENTAGES, st.integers(0, 100))
def test_patients_are_kept_whole_and_each_class_in_proportion(strata, percentage, seed):
    records = as_records(strata)
    kept = label_fraction(records, percentage, seed)
    patients = {r["patient_id"] for r in kept}
    assert kept == [r for r in records if r["patient_id"] in patients]
    for stratum, total in Counter(strata.values()).items():
        count = sum(strata[p] == stratum for p in patients)
        assert count >= 1
        assert abs(count - total * percentage / 100) <= max(0.5, 1 - total * percentage / 100) + 1e-9


@given(STRATA, st.integers(0, 100))
def test_hundred_percent_is_all(strata, seed):
    assert label_fraction(as_records(strata), 100, seed) == as_records(strata)


def test_seeds_draw_different_patients():
    records = as_records({f"P{n}": n % 2 for n in range(100)})
    drawn = [frozenset(r["patient_id"] for r in label_fraction(records, 10, seed)) for seed in range(3)]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("percentage", [0, -5, 100.1])
def test_a_percentage_out_of_range_is_refused(percentage):
    with pytest.raises(ValueError, match="percentage"):
        label_fraction([], percentage, 0)


def test_the_class_of_a_patient_is_its_worst_image(record):
    records = [record("P1", "a", pathology="BENIGN"), record("P1", "b", pathology="MALIGNANT"), record("P2", "c")]
    strata = patient_strata(records)
    assert strata["P2"] == -1
    assert strata["P1"] == patient_strata([record("P3", pathology="MALIGNANT")])["P3"]


@settings(deadline=None)
@given(POOLED, st.integers(0, 100), st.randoms())
def test_pooled_datasets_are_dealt_each_in_its_shares(strata, seed, random):
    records = as_pooled_records(strata)
    sections = split_records(records, THIRDS, seed)
    assert list(sections) == list(THIRDS)
    assert sorted(map(id, records)) == sorted(id(r) for listed in sections.values() for r in listed)
    owners = {name: {patient_key(r) for r in listed} for name, listed in sections.items()}
    assert sum(map(len, owners.values())) == len(strata)  # no patient is in two sections
    for group, total in Counter((d, c) for (d, _), c in strata.items()).items():
        for name, share in THIRDS.items():
            count = sum((key[0], c) == group and key in owners[name] for key, c in strata.items())
            assert abs(count - share * total) < 2
    again = split_records(random.sample(records, len(records)), THIRDS, seed)
    assert {name: {patient_key(r) for r in listed} for name, listed in again.items()} == owners


@given(STRATA, st.integers(0, 100))
def test_pooling_leaves_the_order_inside_a_dataset_as_it_was(strata, seed):
    alone = dealing_order({("a", p): ("a", c) for p, c in strata.items()}, seed)
    pooled = dealing_order({(d, p): (d, c) for d in ("a", "b") for p, c in strata.items()}, seed)
    assert [group for group in pooled if group[0][0] == "a"] == alone
    assert [[p for _, p in group] for group in alone] == dealing_order(strata, seed)


def test_ids_that_two_datasets_share_are_refused_where_only_the_id_counts(record):
    with pytest.raises(ValueError, match=r"patient 'P1' is in 'x' and in 'y'.*split_records"):
        patient_strata([record("P1", "a", dataset="x"), record("P1", "b", dataset="y")])


def test_a_dataset_without_pathology_is_stratified_by_the_next_best_that_it_knows(record):
    records = [
        record("P1", "a", dataset="biopsies", pathology="BENIGN", birads=5),
        record("P2", "b", dataset="biopsies", birads=2),
        record("P1", "c", dataset="readings", birads=5, density="A"),
        record("P1", "d", dataset="readings", birads=3),
        record("P2", "e", dataset="densities", density="C"),
        record("P3", "f", dataset="nothing"),
    ]
    assert stratum_fields(records) == {
        "biopsies": "pathology", "readings": "birads", "densities": "density", "nothing": ""
    }  # fmt: skip
    assert strata_by_dataset(records) == {
        ("biopsies", "P1"): ("biopsies", 2),
        ("biopsies", "P2"): ("biopsies", -1),
        ("readings", "P1"): ("readings", 5),
        ("densities", "P2"): ("densities", 2),
        ("nothing", "P3"): ("nothing", -1),
    }


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"pathology": "BENIGN"}, "stratified by pathology, seed 3"), ({}, "not stratified: no class is known, seed 3")],
)
def test_a_datalist_dealt_by_patient_says_how(record, tmp_path, fields, words):
    records = [record(f"P{n}", str(n), **fields) for n in range(20)]
    datalist = patient_split_datalist(records, "name", "licence", tmp_path, 3)
    assert datalist["description"] == f"patients dealt 60/20/20, {words}"
    assert [len(datalist[name]) for name in THIRDS] == [12, 4, 4]
    assert all(r["split"] == name for name in THIRDS for r in datalist[name])
