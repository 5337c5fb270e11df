from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mammo.pipeline.datasets import label_fraction, patient_strata, split_patients

STRATA = st.dictionaries(st.text("0123456789P_", min_size=1, max_size=6), st.integers(-1, 3), max_size=80)
SHARES = (
    st.lists(st.integers(0, 10), min_size=2, max_size=4)
    .filter(any)
    .map(lambda parts: {f"section{i}": part / sum(parts) for i, part in enumerate(parts)})
)
PERCENTAGES = st.floats(0.5, 100)


def as_records(strata, images=2):
    return [
        {"image": f"{p}{i}", "patient_id": p, "image_id": f"{p}{i}", "dataset": "x", "label": [c if i else -1]}
        for p, c in strata.items() for i in range(images)
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
