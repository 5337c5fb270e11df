import errno
import logging
import multiprocessing
import os
import shutil
import time
from collections import Counter
from enum import Enum
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mammo.pipeline.datasets import PreparedDataset, entry, scan, store
from mammo.pipeline.gate import gate_policy
from mammo.transforms import (
    BreastMaskd,
    ChestWallLeftd,
    CropToBreastd,
    LoadMammogramd,
    MammogramError,
    PrepareMammogramd,
    RecordGeometryd,
    ResizeMammogramd,
)
from monai.data import DataLoader, MetaTensor
from monai.transforms import (
    ConcatItemsd,
    MapTransform,
    RandAdjustContrastd,
    RandGaussianNoised,
    SelectItemsd,
    ToTensord,
    Transform,
)

DECODES: Counter[str] = Counter()


class Quality(Enum):
    OK = "ok"
    FULL = "full_frame"


class Decode(MapTransform):
    """Stands for reading a mammogram: the file holds one number, or words for what is wrong with it."""

    def __init__(self, keys="image", size: int = 4, delay_s: float = 0.0) -> None:
        super().__init__(keys)
        self.size, self.delay_s = size, delay_s

    def __call__(self, data):
        path = data["image"]
        DECODES[Path(path).stem] += 1
        time.sleep(self.delay_s)
        text = Path(path).read_text()
        if text == "interrupt":
            raise KeyboardInterrupt
        if text == "bad":
            raise MammogramError(path, "truncated", "the file ends early; copy it again")
        value = float(text)
        image = MetaTensor(torch.full((1, self.size, self.size), value), meta={"path": Path(path)})
        quality = Quality("ok" if value else "full_frame")
        return {**data, "image": image, "mask": (image > 0).float(), "mask_quality": quality, "scale": np.float32(2)}


class ReadsThePathology(Transform):
    def __call__(self, data):
        return {**data, "image": data["image"] * len(data["pathology"])}


@pytest.fixture(autouse=True)
def _count_from_zero():
    DECODES.clear()


@pytest.fixture
def records(tmp_path, record):
    (tmp_path / "images").mkdir()
    made = []
    for n in range(4):
        path = tmp_path / "images" / f"i{n}.txt"
        path.write_text(str(n))
        made.append(record(f"P{n}", f"i{n}", pathology="BENIGN", label=[n % 2]) | {"image": str(path)})
    return made


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def entries(cache):
    return sorted(path.name for path in cache.glob("sources/*/*"))


def test_each_image_is_decoded_once_and_read_back_equal(records, cache):
    dataset = PreparedDataset(records, [Decode()], cache)
    first, second = list(dataset), list(dataset)
    assert set(DECODES.values()) == {1}
    assert (dataset.computed, dataset.reused, dataset.corrupt) == (4, 4, 0)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert type(one["image"]) is type(other["image"]) is torch.Tensor
        torch.testing.assert_close(one["image"], other["image"])
        assert {k: v for k, v in one.items() if k not in ("image", "mask")} == {
            k: v for k, v in other.items() if k not in ("image", "mask")
        }


def test_without_a_cache_dir_nothing_is_kept(records, tmp_path):
    before = set(tmp_path.rglob("*"))
    dataset = PreparedDataset(records, [Decode()], None)
    assert [float(item["image"].mean()) for item in [*dataset, *dataset]] == [0, 1, 2, 3] * 2
    assert set(DECODES.values()) == {2}
    assert set(tmp_path.rglob("*")) == before


def test_labels_are_the_record_s_own_and_do_not_touch_the_cache(records, cache):
    list(PreparedDataset(records, [Decode()], cache))
    changed = [{**r, "label": [7], "pathology": "MALIGNANT", "density": "A"} for r in records]
    items = list(PreparedDataset(changed, [Decode()], cache))
    assert set(DECODES.values()) == {1}
    assert {(item["label"][0], item["pathology"], item["density"]) for item in items} == {(7, "MALIGNANT", "A")}


@pytest.mark.parametrize("later", [
    [RandGaussianNoised("image", prob=1.0), ToTensord("image")],
    [ConcatItemsd(["image", "mask"], "image"), ToTensord("label"), SelectItemsd(["image", "label", "image_id"])],
    [SelectItemsd(["image", "mask"])],
    [lambda item: item],
])  # fmt: skip
def test_stages_that_prepare_alike_share_entries_whatever_follows(later, records, cache):
    list(PreparedDataset(records, [Decode()], cache))
    dataset = PreparedDataset(records, [Decode(), *later], cache)
    assert len(list(dataset)) == 4
    assert (set(DECODES.values()), len(entries(cache))) == ({1}, 4)


def test_random_transforms_run_at_every_read(records, cache):
    dataset = PreparedDataset(records, [Decode(), RandAdjustContrastd("image", prob=1.0, gamma=(0.5, 2)),
                                        RandGaussianNoised("image", prob=1.0)], cache)  # fmt: skip
    assert not torch.equal(dataset[1]["image"], dataset[1]["image"])
    assert DECODES["i1"] == 1


def test_a_batch_is_collated_with_labels(records, cache):
    steps = [Decode(), ConcatItemsd(["image", "mask"], "image"), ToTensord("label", dtype=torch.int64),
             SelectItemsd(["image", "label", "image_id"])]  # fmt: skip
    batch = next(iter(DataLoader(PreparedDataset(records, steps, cache), batch_size=4)))
    assert batch["image"].shape == (4, 2, 4, 4)
    assert batch["label"].tolist() == [[0], [1], [0], [1]]
    assert batch["image_id"] == ["i0", "i1", "i2", "i3"]


@pytest.mark.parametrize("change", ["settings", "content", "side"])
def test_what_changes_the_pixels_is_prepared_again(change, records, cache):
    list(PreparedDataset(records, [Decode()], cache))
    steps = [Decode(size=5)] if change == "settings" else [Decode()]
    path = Path(records[0]["image"])
    if change == "content":
        path.write_text("9.25")
    elif change == "side":
        records[0]["laterality"] = "R"
    list(PreparedDataset(records, steps, cache))
    assert DECODES["i0"] == 2
    assert DECODES["i1"] == (2 if change == "settings" else 1)


@pytest.mark.parametrize("change", ["touched", "moved", "copied"])
def test_a_file_is_known_by_its_content_wherever_it_lies(change, records, cache, tmp_path):
    list(PreparedDataset(records, [Decode()], cache))
    path = Path(records[1]["image"])
    if change == "touched":
        os.utime(path, ns=(1, 1))
    else:
        records[1]["image"] = str(tmp_path / "elsewhere.txt")
        (path.rename if change == "moved" else partial(shutil.copy, path))(records[1]["image"])
    dataset = PreparedDataset(records, [Decode()], cache)
    assert float(dataset[1]["image"].mean()) == 1
    assert (dataset.computed, dataset.reused, DECODES["i1"], DECODES["elsewhere"]) == (0, 1, 1, 0)
    assert len(list(cache.glob("contents/*/*"))) == 4
    assert len(entries(cache)) == 5


def test_a_picture_takes_two_bytes_a_pixel_and_its_mask_a_bit(records, cache):
    for n, record in enumerate(records):
        Path(record["image"]).write_text(str(n / 7))
    dataset = PreparedDataset(records, [Decode(size=256)], cache)
    for n, item in enumerate(dataset):
        torch.testing.assert_close(item["image"], torch.full((1, 256, 256), n / 7), rtol=0, atol=0.5 / 65535 + 1e-7)
        assert item["mask"].dtype == torch.float32
        assert set(item["mask"].unique().tolist()) == {float(n > 0)}
    pixels = 256 * 256
    assert dataset.entry(records[2]).stat().st_size < 2 * pixels + pixels // 8 + 2000


def test_what_is_kept_and_what_is_not_train_alike(records, cache):
    for n, record in enumerate(records):
        Path(record["image"]).write_text(str(n / 7))
    kept, fresh = PreparedDataset(records, [Decode()], cache), PreparedDataset(records, [Decode()], None)
    for once, again, new in zip(list(kept), list(kept), list(fresh), strict=True):
        assert torch.equal(once["image"], again["image"])
        assert torch.equal(once["image"], new["image"])


def test_entries_of_equal_content_are_equal_to_the_byte(records, cache, tmp_path):
    one, other = PreparedDataset(records, [Decode()], cache), PreparedDataset(records, [Decode()], tmp_path / "other")
    list(one), list(other)
    for record in records:
        assert one.entry(record).read_bytes() == other.entry(record).read_bytes()


def test_force_recompute_empties_exactly_the_entries_of_this_dataset(records, cache):
    list(PreparedDataset(records, [Decode()], cache))
    list(PreparedDataset(records, [Decode(size=5)], cache))
    (cache / "sources" / "00").mkdir(exist_ok=True)
    (cache / "sources" / "00" / "notes.txt").write_text("of somebody else")
    kept = set(entries(cache))
    forced = PreparedDataset(records[:2], [Decode()], cache, force_recompute=True)
    assert len(kept - set(entries(cache))) == 2
    list(forced)
    assert DECODES == {"i0": 3, "i1": 3, "i2": 2, "i3": 2}
    assert set(entries(cache)) == kept


def test_other_records_may_be_set_without_deleting_anything(records, cache):
    dataset = PreparedDataset(records[:2], [Decode()], cache)
    list(dataset)
    dataset.set_data(records)
    assert len(list(dataset)) == 4
    assert set(DECODES.values()) == {1}


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "foreign", "without checksum"])
def test_a_damaged_entry_is_prepared_again_counted_and_logged(damage, records, cache, caplog):
    dataset = PreparedDataset(records, [Decode()], cache)
    list(dataset)
    path = dataset.entry(records[2])
    whole = path.read_bytes()
    contents = {"truncated": whole[: len(whole) // 2], "garbage": b"x" * 999}
    contents["without checksum"] = whole.replace(b"xxh3_128", b"xxh3_129")
    path.write_bytes(contents.get(damage, b""))
    if damage == "foreign":
        torch.save([1, 2], path)
    with caplog.at_level(logging.WARNING):
        assert float(dataset[2]["image"].mean()) == 2
    assert (dataset.corrupt, DECODES["i2"]) == (1, 2)
    assert str(path) in caplog.text
    assert float(dataset[2]["image"].mean()) == 2
    assert DECODES["i2"] == 2


def test_an_entry_that_would_run_code_is_not_executed(records, cache, tmp_path):
    dataset = PreparedDataset(records, [Decode()], cache)
    list(dataset)

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"image": Evil()}, dataset.entry(records[0]))
    assert float(dataset[0]["image"].mean()) == 0
    assert not (tmp_path / "executed").exists()
    assert dataset.corrupt == 1


def test_a_crop_is_stored_without_the_image_behind_it(records, cache):
    class Crop(Transform):
        def __call__(self, data):
            return {**data, "image": data["image"][:, :2, :2], "mask": data["mask"][:, :2, :2]}

    dataset = PreparedDataset(records, [Decode(size=500), Crop()], cache)
    list(dataset)
    assert max(path.stat().st_size for path in cache.glob("sources/*/*")) < 10_000


def test_what_could_never_be_read_back_is_refused_instead_of_prepared_for_ever(records, cache):
    class Odd(Transform):
        def __call__(self, data):
            return {**data, "extra": Counter(a=1).elements()}

    with pytest.raises(ValueError, match="tensors, numbers and texts"):
        PreparedDataset(records, [Decode(), Odd()], cache)[0]
    assert entries(cache) == []


def test_a_refusal_of_an_image_that_is_whole_goes_when_it_is_tried_again(records, cache):
    """A process may die between writing an entry and saying so."""
    dataset = PreparedDataset(records, [Decode()], cache)
    dataset.prepare(records[0])
    dataset.refuse(records[0], MammogramError("i0.txt", "crashed", "its process died"))
    assert dataset.prepare(records[0], retry=True).reused
    assert list(cache.glob("refused/*")) == []


def test_preparing_cannot_read_labels(records, cache):
    with pytest.raises(RuntimeError) as error:
        PreparedDataset(records, [Decode(), ReadsThePathology()], cache)[0]
    assert isinstance(error.value.__cause__, KeyError)


def test_a_cache_dir_that_is_a_file_is_refused(records, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        PreparedDataset(records, [Decode()], tmp_path / "file")


def test_a_missing_image_is_named(records, cache):
    Path(records[1]["image"]).unlink()
    with pytest.raises(MammogramError, match=r"i1\.txt: the file does not exist"):
        PreparedDataset(records, [Decode()], cache)[1]


@pytest.mark.parametrize("cached", [True, False])
def test_scan_sets_bad_files_aside_with_their_reasons_and_goes_on(cached, records, cache):
    Path(records[1]["image"]).write_text("bad")
    Path(records[3]["image"]).unlink()
    result = scan(records, [Decode()], cache if cached else None, workers=2)
    assert [r["image_id"] for r in result.usable] == ["i0", "i2"]
    assert [(q["image_id"], q["reason"]) for q in result.quarantine] == [("i1", "truncated"), ("i3", "missing")]
    assert result.quarantine[0]["message"] == "the file ends early; copy it again"
    assert result.mask_quality == {"full_frame": 1, "ok": 1}
    assert result.summary().splitlines() == [
        "2 images usable, 2 of them prepared now",
        "2 images set aside: 1 truncated, 1 missing",
        "1 breast masks are not ok: 1 full_frame",
        "1 images used with a warning: 1 mask_full_frame",
    ]


def test_what_the_gate_refuses_is_prepared_but_set_aside_with_its_reasons(records, cache):
    policy = gate_policy("training", {"mask_full_frame": "refuse"})
    result = scan(records, [Decode()], cache, policy=policy)
    assert [r["image_id"] for r in result.usable] == ["i1", "i2", "i3"]
    assert [(q["image_id"], q["reason"]) for q in result.quarantine] == [("i0", "mask_full_frame")]
    assert result.quarantine[0]["message"]
    assert result.gate.outcomes()["all"] == {"refuse": 1, "accept": 3}
    assert scan(records, [Decode()], cache).computed == 0


def test_what_scan_prepared_training_reads(records, cache):
    assert scan(records, [Decode()], cache).computed == 4
    again = scan(records, [Decode()], cache)
    list(PreparedDataset(records, [Decode(), SelectItemsd(["image", "label"])], cache))
    assert set(DECODES.values()) == {1}
    assert again.computed == 0
    assert again.mask_quality == {"full_frame": 1, "ok": 3}
    assert scan(records, [Decode()], cache, force_recompute=True).computed == 4


@pytest.mark.parametrize("whole", [False, True])
def test_the_standard_chain_shares_its_entries_after_it_was_used(whole, record, cache, tmp_path):
    rows, columns = np.mgrid[:96, :64]
    breast = ((rows - 48) ** 2 + columns**2 < 40**2) * (120 + rows % 7 * 10)
    cv2.imwrite(str(tmp_path / "breast.png"), breast.astype(np.uint8))
    item = record(laterality="L", view="CC", label=[1]) | {"image": str(tmp_path / "breast.png")}
    chain = [
        LoadMammogramd("image"), ChestWallLeftd("image"), BreastMaskd("image"), CropToBreastd(["image", "mask"]),
        ResizeMammogramd(["image", "mask"], spatial_size=(32, 32)), RecordGeometryd("image"),
    ]  # fmt: skip
    chain = [PrepareMammogramd("image", spatial_size=(32, 32))] if whole else chain
    first = scan([item], chain, cache)  # using a transform must not change what it is known by
    dataset = PreparedDataset([item], [*chain, RandGaussianNoised("image"), ToTensord("label")], cache)
    assert dataset[0]["image"].shape == (1, 32, 32)
    assert dataset[0]["to_original"].shape == (3, 3)
    assert (first.computed, dataset.computed, dataset.reused, dataset.corrupt) == (1, 0, 2, 0)
    assert sum(first.mask_quality.values()) == 1


def test_a_defect_of_a_transform_is_not_taken_for_a_bad_file(records, cache):
    with pytest.raises(RuntimeError) as error:
        scan(records, [Decode(), ReadsThePathology()], cache)
    assert isinstance(error.value.__cause__, KeyError)


def test_ctrl_c_leaves_whole_entries_and_the_next_scan_goes_on(records, cache):
    Path(records[2]["image"]).write_text("interrupt")
    with pytest.raises(KeyboardInterrupt):
        scan(records, [Decode()], cache)
    done = entries(cache)
    assert len(done) == 2
    assert all(name.endswith(".safetensors") for name in done)
    Path(records[2]["image"]).write_text("2")
    result = scan(records, [Decode()], cache)
    assert (len(result.usable), result.computed) == (4, 2)


def test_a_killed_scan_is_resumed_from_what_it_had_finished(records, cache):
    process = multiprocessing.get_context("fork").Process(
        target=scan, args=(records, [Decode(delay_s=0.3)], cache), daemon=True
    )
    process.start()
    deadline = time.monotonic() + 30
    while not (cache.is_dir() and any(cache.glob("sources/*/*.safetensors"))) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    finished = len(list(cache.glob("sources/*/*.safetensors")))
    assert 0 < finished < 4
    result = scan(records, [Decode(delay_s=0.3)], cache)
    assert (len(result.usable), result.computed) == (4, 4 - finished)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stops_the_scan_names_the_folder_and_leaves_no_half_entry(code, records, cache, monkeypatch):
    written = []

    def full(path, mode):
        file = open(path, mode)  # noqa: SIM115

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def write(self, content):
                written.append(len(content))
                if len(written) > 2:
                    file.write(content[:10])
                    raise OSError(code, os.strerror(code))
                file.write(content)

        return Full()

    monkeypatch.setattr("mammo.pipeline.files.open", full, raising=False)
    with pytest.raises(OSError, match="no space left for prepared images") as error:
        scan(records, [Decode()], cache)
    monkeypatch.undo()
    assert error.value.errno == code
    assert str(cache) in str(error.value)
    assert len(entries(cache)) == 2
    assert scan(records, [Decode()], cache).computed == 2


def test_other_write_errors_are_not_called_a_full_disk(records, cache, monkeypatch):
    def deny(*_):
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(store, "write_atomically", deny)
    with pytest.raises(PermissionError, match="denied"):
        scan(records, [Decode()], cache)


def test_workers_of_a_loader_share_the_folder(records, cache):
    dataset = PreparedDataset(records, [Decode(), SelectItemsd(["image", "label"])], cache)
    loader = DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context="fork")
    assert sorted(float(image.mean()) for batch in loader for image in batch["image"]) == [0, 1, 2, 3]
    list(dataset)
    assert dataset.reused == 4


def test_an_entry_that_claims_more_than_it_holds_is_damaged_before_anything_is_allocated(records, cache):
    item = {"image": torch.zeros(1, 4, 4), "mask": torch.ones(1, 4, 4)}
    content = entry.encode(item, {}).replace(b"[1, 4, 4]", b"[9, 9, 9]")
    cache.mkdir()
    (cache / "x").write_bytes(content)
    with pytest.raises(entry.DamagedEntryError):
        entry.read_entry(cache / "x")
    with pytest.raises(entry.DamagedEntryError, match="do not make a tensor"):
        entry._unpack(np.zeros(4, np.uint8), {"shape": [1, 20000, 20000], "as": "bits"})
