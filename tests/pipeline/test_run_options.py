"""Options of an earlier run are values: nothing in its folder runs as code."""

import pytest
import yaml
from mammo.pipeline.predict import training_options
from mammo.pipeline.run_options import is_code, plain_options, run_configuration


@pytest.mark.parametrize(
    "value",
    [
        "$open('x')",
        " $1",
        "@device",
        "%other.yaml::x",
        ["a", "$b"],
        {"a": ["@b"]},
        {"$a": 1},
        {"_target_": "os.system"},
    ],
)
def test_what_monai_would_evaluate_is_code(value):
    assert is_code(value)


@pytest.mark.parametrize("value", [None, True, 3, 0.5, "swin", "a$b", [1520, 912], {"density": ["a", "b"]}])
def test_what_it_takes_as_it_stands_is_not(value):
    assert not is_code(value)


def test_a_run_folder_cannot_run_code_in_whoever_scores_with_its_weights(tmp_path):
    hostile = f"$__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"tasks": ["pathology"], "size": hostile, "epochs": "$1"}))
    with pytest.raises(ValueError, match=r"config\.yaml: size would run as code"):
        training_options(tmp_path / "checkpoints" / "best.pt")
    assert plain_options(tmp_path, ["tasks", "absent"]) == {"tasks": ["pathology"]}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("text", "message"), [(None, "no .*config.yaml"), ("a: [", "no YAML"), ("- a", "no options")])
def test_a_broken_configuration_is_one_clear_error(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        run_configuration(tmp_path)
