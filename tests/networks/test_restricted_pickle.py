"""Checkpoints of strangers: what training scripts save is read, anything that could run is refused by name."""

import collections
import os
import pathlib
import pickle
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest
import torch
from mammo.networks.restricted_pickle import InertObject, read_checkpoint
from torch import nn


@pytest.fixture(params=["zip", "legacy"])
def save(request, tmp_path):
    def write(content, **options):
        path = tmp_path / "model.tar"
        torch.save(content, path, _use_new_zipfile_serialization=request.param == "zip", **options)
        return path

    return write


@pytest.fixture
def omegaconf(monkeypatch):
    """A module of that name for as long as something is saved; its classes are gone when the file is read."""
    module = types.ModuleType("omegaconf.listconfig")

    class ListConfig:
        def __init__(self, *content):
            self.content = list(content)

        def __setstate__(self, state):
            raise AssertionError("the library's own code was run")

    ListConfig.__module__, ListConfig.__qualname__ = module.__name__, "ListConfig"
    module.ListConfig = ListConfig
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(canary):
    return {
        "posix.system": Calls(os.system, f"touch {canary}"),
        "builtins.eval": Calls(eval, f"open({str(canary)!r}, 'w').close()"),
        "io.open": Calls(open, str(canary), "w"),
        "builtins.getattr": Calls(getattr, [], "append"),
        "torch.hub.load": Calls(torch.hub.load, str(canary.parent), "touch"),
        "torch.serialization.load": Calls(torch.load, str(canary)),
        "torch.storage._load_from_bytes": Calls(torch.storage._load_from_bytes, b""),
        "torch.storage.UntypedStorage": Calls(torch.UntypedStorage, 2**40),
        "torch._utils._rebuild_wrapper_subclass": Calls(torch._utils._rebuild_wrapper_subclass),
        "subprocess.Popen": Calls(__import__("subprocess").Popen, ["touch", str(canary)]),
    }


@pytest.mark.parametrize("name", attacks(pathlib.Path("x")))
@pytest.mark.parametrize("place", ["alone", "nested"])
def test_what_could_run_is_refused_by_name_and_never_run(name, place, save, omegaconf, monkeypatch, tmp_path):
    canary = tmp_path / "canary"
    attack = attacks(canary)[name]
    hidden = {"model": {"w": torch.ones(2)}, "config": [{"x": omegaconf.ListConfig(1, {"y": (attack,)})}]}
    path = save({"attack": attack} if place == "alone" else hidden)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=rf"{path} is not read: it asks for {name}, which"):
        read_checkpoint(path)
    assert not canary.exists()


def test_torch_itself_refuses_what_the_look_beforehand_would_miss(monkeypatch, save, tmp_path):
    monkeypatch.setattr("mammo.networks.restricted_pickle._check_allowed", lambda full: None)
    monkeypatch.setattr("mammo.networks.restricted_pickle._stand_in", lambda module, name: None)
    path = save({"attack": attacks(tmp_path / "canary")["posix.system"]})
    with pytest.raises(ValueError, match="refuses what its pickle does") as caught:
        read_checkpoint(path)
    assert isinstance(caught.value.__cause__, pickle.UnpicklingError)
    assert not (tmp_path / "canary").exists()


def test_tensors_come_back_as_they_are(save):
    shared = torch.randn(3, 4)
    content = {
        "model": collections.OrderedDict(w=shared, tied=shared.T, empty=torch.ones(0, 2), scalar=torch.tensor(1.5)),
        "kinds": [
            torch.ones(3, dtype=kind) for kind in (torch.bfloat16, torch.half, torch.int64, torch.bool, torch.cfloat)
        ],
        "parameter": nn.Parameter(torch.randn(2)),
        "plain": {"epoch": 7, "none": None, "name": "b2", "pair": (1.5, True), "set": {1, 2}, "bytes": b"\x00\xff"},
    }
    found = read_checkpoint(save(content))
    for name, tensor in content["model"].items():
        assert torch.equal(found["model"][name], tensor)
    assert found["model"]["w"].data_ptr() == found["model"]["tied"].data_ptr()
    assert all(
        torch.equal(ours, theirs) and ours.dtype == theirs.dtype
        for ours, theirs in zip(found["kinds"], content["kinds"], strict=True)
    )
    assert torch.equal(found["parameter"], content["parameter"])
    assert found["plain"] == content["plain"]


def test_a_whole_training_state_comes_back(save):
    network = nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(network.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)
    network(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    content = {"optimizer": optimiser.state_dict(), "scheduler": scheduler.state_dict()}
    found = read_checkpoint(save(content))
    assert found["scheduler"] == content["scheduler"]
    torch.testing.assert_close(found["optimizer"], content["optimizer"])


def test_numbers_of_numpy_come_back(save):
    content = {
        "loss": np.float64(0.25),
        "f1": np.float32(0.5),
        "epoch": np.int64(3),
        "best": np.bool_(True),
        "big_endian": np.arange(3, dtype=">i4"),
        "predictions": np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)),
    }
    found = read_checkpoint(save(content))
    for name, value in content.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == pickle.loads(pickle.dumps(value, protocol=2)).dtype


def test_arrays_of_objects_are_refused(save):
    path = save({"x": np.array([{}, None], dtype=object)})
    with pytest.raises(ValueError, match="numpy type 'O8' are not read"):
        read_checkpoint(path)


def test_settings_become_inert_objects_that_keep_their_content(save, omegaconf, monkeypatch):
    settings = {"lr": omegaconf.ListConfig(1, "two"), "folder": pathlib.PurePosixPath("a/b"), "kind": dict}
    defaults = collections.defaultdict(list, {"a": [1]})
    path = save({"model": {"w": torch.ones(2)}, "config": settings, "defaults": defaults})
    monkeypatch.undo()
    assert "omegaconf.listconfig" not in sys.modules
    found = read_checkpoint(path)
    assert isinstance(found["config"]["lr"], InertObject)
    assert found["config"]["lr"].state == {"content": [1, "two"]}
    assert found["config"]["folder"].arguments[:1] in (("a",), ("a/b",))
    assert found["defaults"] == {"a": [1]}
    assert torch.equal(found["model"]["w"], torch.ones(2))


def test_what_torch_allows_is_as_before_after_each_read(save, omegaconf, monkeypatch, tmp_path):
    before = set(torch.serialization.get_safe_globals())
    path = save({"config": omegaconf.ListConfig(1)})
    monkeypatch.undo()
    read_checkpoint(path)
    assert set(torch.serialization.get_safe_globals()) == before
    path = save({"attack": attacks(tmp_path)["posix.system"]})
    with pytest.raises(ValueError, match=r"posix\.system"):
        read_checkpoint(path)
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.99])
def test_a_file_cut_off_is_refused(share, save):
    path = save({"model": {str(i): torch.randn(20) for i in range(10)}})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=f"{path} is not read"):
        read_checkpoint(path)


def test_a_bomb_is_refused_before_it_unpacks(tmp_path, monkeypatch):
    path = tmp_path / "bomb.tar"
    torch.save({"w": torch.zeros(2**20)}, path)
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(tmp_path / "packed.tar", "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry))
    assert (tmp_path / "packed.tar").stat().st_size < 2**15
    monkeypatch.setattr(torch, "load", lambda *given, **options: pytest.fail("it was unpacked"))
    with pytest.raises(ValueError, match=f"above the limit of {2**20}; raise limit_bytes"):
        read_checkpoint(tmp_path / "packed.tar", limit_bytes=2**20)


def test_the_limit_holds_for_both_formats_and_can_be_raised(save):
    path = save({"w": torch.zeros(1000)})
    with pytest.raises(ValueError, match="above the limit of 3999"):
        read_checkpoint(path, limit_bytes=3999)
    assert len(read_checkpoint(path, limit_bytes=10_000)["w"]) == 1000


def test_a_file_that_only_claims_to_hold_much_is_refused_before_that_is_looked_for(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"w": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ValueError, match="above the limit of 3999"):
        read_checkpoint(path, limit_bytes=3999)


def test_a_small_file_cannot_describe_large_tensors(save):
    path = save({"config": [(torch.ones(1).expand(10**12),)]})
    with pytest.raises(ValueError, match="it unpacks to 4000000000000 bytes or more"):
        read_checkpoint(path)


def test_content_that_holds_itself_is_read(save):
    circle = []
    circle.append(circle)
    found = read_checkpoint(save({"circle": circle}))["circle"]
    assert found[0] is found


def test_other_kinds_of_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "missing.tar")
    (tmp_path / "text.tar").write_text("These are the terms of use.")
    with pytest.raises(ValueError, match=r"text\.tar is not read"):
        read_checkpoint(tmp_path / "text.tar")
    with tarfile.open(tmp_path / "real.tar", "w") as archive:
        archive.add(tmp_path / "text.tar", "storages")
    with pytest.raises(ValueError, match="it is a tar archive"):
        read_checkpoint(tmp_path / "real.tar")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a/b.txt", "")
    with pytest.raises(ValueError, match=r"but not one of torch\.save's"):
        read_checkpoint(tmp_path / "other.zip")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=2) * 5)
    with pytest.raises(ValueError, match="magic number"):
        read_checkpoint(tmp_path / "plain.pkl")


def test_a_script_module_is_refused(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "script.pt")
    with zipfile.ZipFile(tmp_path / "script.pt", "a") as archive:
        archive.writestr("script/constants.pkl", b"")
    with pytest.raises(ValueError, match="TorchScript is not read"):
        read_checkpoint(tmp_path / "script.pt")


def test_another_protocol_is_named(save, tmp_path):
    path = save({"attack": attacks(tmp_path)["posix.system"]}, pickle_protocol=4)
    with pytest.raises(ValueError, match="pickled by protocol 4"):
        read_checkpoint(path)


def test_a_list_is_no_checkpoint(save):
    with pytest.raises(ValueError, match="holds a list, not a dictionary"):
        read_checkpoint(save([torch.ones(1)]))
