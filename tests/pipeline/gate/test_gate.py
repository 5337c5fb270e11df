import pickle
import time
from typing import Any

import pytest
from mammo.pipeline.gate import PRESETS, Outcome, Reason, gate_policy, judge, unreadable
from mammo.transforms import MammogramError

SEVERITY = ["accept", "warn", "refuse"]


def test_a_plain_mammogram_is_accepted_by_every_preset(plain: dict[str, Any]) -> None:
    assert {judge(plain, policy) for policy in PRESETS.values()} == {(Outcome.ACCEPT, (), ())}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_decides_on_every_reason(name: str) -> None:
    assert set(gate_policy(name).outcomes) == set(Reason)


def test_deploying_is_never_laxer_than_training_and_all_never_refuses() -> None:
    training, deploy = gate_policy("training").outcomes, gate_policy("deploy").outcomes
    assert all(SEVERITY.index(deploy[reason]) >= SEVERITY.index(training[reason]) for reason in Reason)
    assert Outcome.REFUSE not in gate_policy("all").outcomes.values()


@pytest.mark.parametrize(
    ("reason", "training", "deploy"),
    [
        ("tomosynthesis", "refuse", "refuse"),
        ("multi_frame", "refuse", "refuse"),
        ("mask_empty", "refuse", "refuse"),
        ("for_processing", "warn", "refuse"),
        ("view_unknown", "warn", "refuse"),
        ("view_not_standard", "warn", "refuse"),
        ("spot_compression", "warn", "refuse"),
        ("magnification", "warn", "refuse"),
        ("implant", "warn", "refuse"),
        ("unknown_intent", "warn", "warn"),
        ("side_disagrees", "warn", "refuse"),
        ("secondary_capture", "warn", "refuse"),
        ("contrast_enhanced", "warn", "refuse"),
        ("lossy", "warn", "refuse"),
        ("side_marker", "accept", "accept"),
    ],
)
def test_presets_decide_as_documented(reason: str, training: str, deploy: str) -> None:
    found = tuple(gate_policy(name).outcomes[Reason(reason)].value for name in ("training", "deploy"))
    assert found == (training, deploy)


def test_the_outcome_is_the_worst_of_the_reasons(plain: dict[str, Any]) -> None:
    policy = gate_policy("deploy")
    marker, text, spot = {"burned_in_px": 1}, {"burned_in_annotation": "YES"}, {"view_modifiers": "spot compression"}
    assert judge(plain | marker, policy).outcome == "accept"
    assert judge(plain | marker | text, policy).outcome == "warn"
    verdict = judge(plain | marker | text | spot, policy)
    assert verdict.outcome == "refuse"
    assert verdict.reasons == ("spot_compression", "burned_in_declared", "side_marker")
    assert len(verdict.messages) == 3


def test_one_reason_can_be_decided_otherwise(plain: dict[str, Any]) -> None:
    lossy = plain | {"lossy": "01"}
    strict = gate_policy("training", {"lossy": "refuse"})
    assert (judge(lossy, gate_policy("training")).outcome, judge(lossy, strict).outcome) == ("warn", "refuse")
    assert strict.name == "training+"
    changed = {reason for reason in Reason if strict.outcomes[reason] != gate_policy("training").outcomes[reason]}
    assert changed == {Reason.LOSSY}


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        (
            "deployed",
            {},
            "unknown gate policy 'deployed'; did you mean 'deploy'? expected one of training, deploy, all",
        ),
        (
            "all",
            {"lossi": "warn"},
            "unknown gate reason 'lossi'; did you mean 'lossy'? expected one of not_a_mammogram",
        ),
        ("all", {"lossy": "no"}, "unknown gate outcome 'no'; expected one of accept, warn, refuse"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(name: str, overrides: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match="unknown gate") as caught:
        gate_policy(name, overrides)
    assert str(caught.value).startswith(words)


def test_what_cannot_be_read_is_refused_with_the_readers_reason() -> None:
    verdict = unreadable(MammogramError("a.dcm", "truncated", "the file ends early"))
    assert verdict == (Outcome.REFUSE, ("truncated",), ("the file ends early",))


def test_policies_and_verdicts_go_to_other_processes(plain: dict[str, Any]) -> None:
    policy = gate_policy("deploy", {"lossy": "warn"})
    verdict = judge(plain | {"lossy": "01"}, policy)
    assert pickle.loads(pickle.dumps((policy, verdict))) == (policy, verdict)


def test_a_hundred_thousand_images_take_seconds(plain: dict[str, Any]) -> None:
    policy, start = gate_policy("deploy"), time.process_time()
    for _ in range(2000):
        judge(plain, policy)
    assert time.process_time() - start < 0.2  # ten times what it takes; a busy machine shall not fail it
