import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from mammo.pipeline.datasets import fingerprint
from mammo.pipeline.datasets.fingerprint import transform_fingerprint
from monai.transforms import Compose, Flipd, Lambda, Resized, ScaleIntensityRanged, Transform


def halve(image):
    return image / 2


def test_equal_settings_from_different_objects_hash_the_same():
    from_code = Resized(keys="image", spatial_size=(8, 8), mode="area")
    settings = json.loads('{"keys": ["image"], "spatial_size": [8, 8], "mode": "area"}')
    assert transform_fingerprint([from_code]) == transform_fingerprint([Resized(**settings)])


def test_a_changed_setting_deep_inside_changes_the_hash():
    hashes = {
        transform_fingerprint([Resized(keys="image", spatial_size=size, mode=mode)])
        for size in ((8, 8), (8, 9)) for mode in ("area", "bilinear")
    }  # fmt: skip
    assert len(hashes) == 4


def test_order_and_class_matter():
    first, second = Flipd("image"), ScaleIntensityRanged("image", 0, 1, 0, 1)
    assert len({transform_fingerprint(t) for t in ([first, second], [second, first], [first], [])}) == 4


def test_a_compose_inside_a_transform_is_described_by_its_steps():
    class Whole(Transform):
        def __init__(self, size):
            self.steps = Compose([Flipd("image"), Resized("image", size)])

        def __call__(self, data):
            return self.steps(data)

    assert transform_fingerprint([Whole((8, 8))]) == transform_fingerprint([Whole((8, 8))])
    assert transform_fingerprint([Whole((8, 8))]) != transform_fingerprint([Whole((8, 9))])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(3), np.ones(3)),
        (torch.zeros(3), torch.zeros(3, dtype=torch.float64)),
        (partial(halve, image=1), partial(halve, image=2)),
        ({"a": 1}, {"a": 2}),
        (frozenset("ab"), frozenset("ac")),
        (torch.float32, torch.float16),
        (1, True),
        ("1", 1),
    ],
)
def test_values_that_differ_hash_differently(one, other):
    assert transform_fingerprint([one]) != transform_fingerprint([other])


@pytest.mark.parametrize("nameless", [lambda image: image, Lambda(lambda image: image), object()])
def test_what_has_no_stable_description_is_refused(nameless):
    with pytest.raises(ValueError, match="cannot be told apart"):
        transform_fingerprint([nameless])


def test_the_hash_is_the_same_in_another_process():
    # The file alone: importing the package would take seconds more.
    code = (
        f"import runpy; f = runpy.run_path({fingerprint.__file__!r})['transform_fingerprint']\n"
        "print(f([frozenset('abcdef'), {'a': 1.5}, ('x', None)]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = transform_fingerprint([frozenset("abcdef"), {"a": 1.5}, ("x", None)])
    assert answer.stdout.split()[-1] == expected
