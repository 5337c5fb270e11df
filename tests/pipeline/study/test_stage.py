"""The hash of a stage: what changes a result changes it, and nothing else."""

import pytest
import torch
from mammo.pipeline.study import Setting, Stage, in_order
from mammo.pipeline.study.stage import BEST, configure


def stage(inputs=None, name="finetune", data="d", **overrides):
    return Stage("swin_mim", name, configure("swin_mim", name, ["tiny"], overrides), inputs or {}, data)


@pytest.mark.parametrize(
    "overrides", [{"output_dir": "elsewhere"}, {"cache_dir": "store"}, {"num_workers": 7}, {"dataset_dir": "data"}]
)
def test_where_a_stage_works_is_no_part_of_its_hash(overrides):
    assert stage(**overrides).digest == stage().digest


@pytest.mark.parametrize(
    "overrides", [{"learning_rate": 0.5}, {"seed": 1}, {"data": "other"}, {"train::dataloader::shuffle": False}]
)
def test_what_a_stage_computes_with_is_part_of_its_hash(overrides):
    assert stage(**overrides).digest != stage().digest


def test_the_title_is_for_people_only():
    given = configure("swin_mim", "finetune", [], {})
    assert len({Stage("swin_mim", "finetune", given, title=title).digest for title in "ab"}) == 1


def test_a_stage_depends_on_what_its_inputs_were_trained_with():
    starts = [stage(name="pretrain", seed=seed) for seed in (0, 1)]
    digests = [stage({"pretrained": start}).digest for start in starts]
    assert len({*digests, stage().digest}) == 3


def test_weights_of_other_content_under_the_same_name_are_other_weights(tmp_path):
    path = tmp_path / "weights.pt"
    digests = []
    for value in (0.0, 1.0):
        path.unlink(missing_ok=True)
        torch.save({"w": torch.tensor(value)}, path)
        digests.append(stage(pretrained=str(path)).digest)
    moved = path.rename(tmp_path / "moved.pt")
    assert digests[0] != digests[1]
    assert stage(pretrained=str(moved)).digest == digests[1]


def test_equal_stages_are_one_and_inputs_come_first():
    shared = [stage(name="pretrain") for _ in range(3)]  # as three fine-tunings would each make it
    goals = [stage({"pretrained": start}, label_percentage=p) for start, p in zip(shared, (1, 10, 100), strict=True)]
    ordered = in_order([*goals, goals[0]])
    assert [one.name for one in ordered] == ["pretrain", "finetune", "finetune", "finetune"]


def test_the_configuration_to_run_takes_its_input_from_the_earlier_run_and_resumes(tmp_path):
    start = stage(name="pretrain")
    second = stage({"pretrained": start})
    found = second.resolved(tmp_path)
    assert found["pretrained"] == str(start.folder(tmp_path) / BEST)
    assert found["output_dir"] == str(second.folder(tmp_path))
    assert found["resume"] is True
    assert second.configuration["resume"] is False


def test_an_unknown_override_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean max_epochs"):
        stage(max_epoch=3)


@pytest.mark.parametrize(("options", "kept"), [({}, (64, 32)), ({"stored_size": [128, 64]}, (128, 64))])
def test_images_are_prepared_at_the_size_that_stages_keep(tmp_path, options, kept):
    setting = Setting(tmp_path, tmp_path / "out", bundle="miram", options={"image_size": [64, 32]} | options)
    assert setting.preparation.image_size == kept
