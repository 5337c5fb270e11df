"""Prompts: every task can be asked, ensembles differ by the negation alone, and a user's file is checked."""

import json
import re

import pytest
from mammo.pipeline.text import FINDINGS, PROMPTS, PUBLISHED, check_prompts, load_prompts


@pytest.mark.parametrize("prompts", [PROMPTS, PUBLISHED])
def test_our_own_prompts_are_valid(prompts):
    assert check_prompts(prompts) == prompts


def test_every_finding_malignancy_and_density_has_an_ensemble():
    assert set(PROMPTS) == {*FINDINGS, "malignancy", "density"}
    assert list(PROMPTS["density"]) == ["A", "B", "C", "D"]
    for task, classes in PROMPTS.items():
        assert min(len(said) for said in classes.values()) >= 3, task
        assert all(len(set(said)) == len(said) for said in classes.values())
        assert task == "density" or list(classes) == ["absent", "present"]


@pytest.mark.parametrize("finding", FINDINGS)
def test_both_classes_of_a_finding_are_in_the_same_words_but_for_the_negation(finding):
    def words(sentence: str) -> list[str]:
        return re.sub(r"\b(no|an?)\b ?", "", sentence.lower()).split()

    absent, present = PROMPTS[finding].values()
    assert [words(sentence) for sentence in absent] == [words(sentence) for sentence in present]
    assert all(re.search(r"\b[Nn]o\b", sentence) for sentence in absent)
    assert not any(re.search(r"\b[Nn]o\b|\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", sentence) for sentence in present)


def test_published_prompts_are_single_and_come_by_name():
    assert load_prompts("published") == PUBLISHED
    assert all(len(said) == 1 for classes in PUBLISHED.values() for said in classes.values())


def test_what_is_loaded_by_name_can_be_changed_without_harm():
    load_prompts()["mass"]["present"].append("a lump")
    assert load_prompts() == PROMPTS
    assert "a lump" not in PROMPTS["mass"]["present"]


def test_a_users_file_keeps_its_tasks_and_order(tmp_path):
    own = {"implant": {"present": ["an implant"], "absent": ["no implant", "natural breast"]}}
    (tmp_path / "own.json").write_text(json.dumps(own))
    loaded = load_prompts(tmp_path / "own.json")
    assert loaded == own
    assert list(loaded["implant"]) == ["present", "absent"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "does not hold prompts"),
        ("[]", "expected a mapping of tasks"),
        ("{}", "expected a mapping of tasks"),
        ('{"mass": ["mass"]}', "task 'mass': expected a mapping of classes"),
        ('{"mass": {"present": ["mass"]}}', "task 'mass' has fewer than two classes"),
        ('{"mass": {"absent": [], "present": ["mass"]}}', "class 'absent': expected a list of sentences"),
        ('{"mass": {"absent": "no mass", "present": ["mass"]}}', "class 'absent': expected a list"),
        ('{"mass": {"absent": [" "], "present": ["mass"]}}', "class 'absent': expected a list"),
        ('{"mass": {"absent": ["no  Mass"], "present": ["no mass"]}}', "stands for 'absent' and 'present'"),
        ('{"mass": {"absent": ["a"], "absent": ["b"], "present": ["c"]}}', "'absent' is there twice"),
    ],
)
def test_a_file_that_cannot_tell_classes_apart_is_refused(tmp_path, content, words):
    (tmp_path / "own.json").write_text(content)
    with pytest.raises(ValueError, match=words):
        load_prompts(tmp_path / "own.json")


def test_unknown_names_and_huge_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="give ensemble or published, or the path"):
        load_prompts("best")
    (tmp_path / "own.json").write_text(" " * 1_000_001)
    with pytest.raises(ValueError, match="larger than 1000000 bytes"):
        load_prompts(tmp_path / "own.json")
