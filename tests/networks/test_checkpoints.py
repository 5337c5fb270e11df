import os
import zipfile

import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder, SwinMIM, load_encoder, load_network
from safetensors.torch import save_file


@pytest.fixture
def source() -> SwinEncoder:
    return SwinEncoder(size="micro")


def assert_equal_weights(ours: SwinEncoder, theirs: SwinEncoder) -> None:
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [lambda e: e, SwinMIM, lambda e: SwinMIM(e, "unetr", "token"), MammogramClassifier],
    ids=["encoder", "published", "unetr", "classifier"],
)
def test_encoder_comes_back_from_every_network(tmp_path, source, wrap, nested):
    state = wrap(source).state_dict()
    torch.save({"model": state} if nested else state, tmp_path / "model.pt")
    target = SwinEncoder(size="micro")
    load_encoder(target, tmp_path / "model.pt")
    assert_equal_weights(target, source)


def test_encoder_comes_back_from_safetensors(tmp_path, source):
    save_file(MammogramClassifier(source).state_dict(), tmp_path / "model.safetensors")
    target = SwinEncoder(size="micro")
    load_encoder(target, str(tmp_path / "model.safetensors"))
    assert_equal_weights(target, source)


def test_first_tensor_of_another_width_is_named_with_both_shapes(tmp_path, source):
    torch.save(source.state_dict(), tmp_path / "model.pt")
    target = SwinEncoder(size="micro", embed_dim=32)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"patch_embed.0.conv.weight is \(16, 1, 3, 3\) there and \(21, 1, 3, 3\) here"
    ):
        load_encoder(target, tmp_path / "model.pt")
    torch.testing.assert_close(target.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(("here", "there"), [((2, 2, 4, 2), (2, 2, 2, 2)), ((2, 2, 2, 2), (2, 2, 4, 2))])
def test_another_depth_is_named(tmp_path, here, there):
    torch.save(SwinEncoder(size="micro", depths=there).state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"another architecture: it holds .*layers3.0.blocks.2"):
        load_encoder(SwinEncoder(size="micro", depths=here), tmp_path / "model.pt")


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_pickled_code_is_not_run(tmp_path, source, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Malicious()}, "model.pt")
    with pytest.raises(ValueError, match="not a checkpoint of tensors only"):
        load_encoder(source, "model.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no checkpoint at all, not in the least"])
def test_file_that_is_no_checkpoint_is_named(tmp_path, source, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is not a checkpoint"):
        load_encoder(source, tmp_path / name)


def test_missing_file_is_named(tmp_path, source):
    with pytest.raises(ValueError, match=r"no checkpoint at .*nowhere.pt"):
        load_encoder(source, tmp_path / "nowhere.pt")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"model": {"a": 1}}, torch.zeros(2)])
def test_file_without_a_state_dict_is_refused(tmp_path, source, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="neither a state_dict nor"):
        load_encoder(source, tmp_path / "model.pt")


def test_no_path_leaves_the_encoder_as_it_is(source):
    before = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    assert load_encoder(source, None) is source
    torch.testing.assert_close(dict(source.state_dict()), before, rtol=0, atol=0)


def test_whole_network_comes_back(tmp_path, source):
    network, other = MammogramClassifier(source), MammogramClassifier(SwinEncoder(size="micro"))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    x = torch.rand(1, 2, 64, 64)
    torch.testing.assert_close(load_network(other, tmp_path / "model.pt")(x), network.eval()(x))


def test_a_bit_that_is_not_what_was_saved_is_refused(tmp_path, source):
    path = tmp_path / "model.pt"
    torch.save(source.state_dict(), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # of a weight: torch itself reads it
    path.write_bytes(content)
    assert torch.load(path, weights_only=True).keys() == source.state_dict().keys()
    with pytest.raises(ValueError, match=r"model\.pt is not a checkpoint .*: it is damaged: the checksum of"):
        load_encoder(source, path)


def test_a_compressed_archive_is_not_unpacked(tmp_path, source):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    with pytest.raises(ValueError, match="compressed archive"):
        load_encoder(source, tmp_path / "bomb.pt")
