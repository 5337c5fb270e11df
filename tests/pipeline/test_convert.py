"""``mammo convert`` on files with random weights, and its errors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mammo.networks import (
    EfficientNetEncoder,
    ImageTextModel,
    MammogramClassifier,
    MaskedAutoencoder,
    SwinEncoder,
    SwinMIM,
    ViTEncoder,
    load_encoder,
    load_network,
    small_text_encoder,
)
from mammo.networks.public_mammo_clip import export_mammo_clip
from mammo.networks.restricted_pickle import read_checkpoint
from mammo.pipeline.cli import main
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from safetensors.torch import load_file
from transformers import SwinConfig, SwinForImageClassification, ViTConfig, ViTMAEConfig, ViTMAEForPreTraining, ViTModel


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    network = SwinForImageClassification(SwinConfig(image_size=224, num_labels=2))
    path = tmp_path_factory.mktemp("weights") / "pytorch_model.pt"
    torch.save(network.state_dict(), path)
    return path


def test_public_weights_become_an_encoder_for_grey_images(weights, tmp_path, caplog):
    out = tmp_path / "swin.safetensors"
    with caplog.at_level("INFO"):
        assert main(["convert", str(weights), str(out)]) == 0
    assert "1 input channel(s), --size tiny, window 7" in caplog.text
    assert "left aside: classifier.bias, classifier.weight" in caplog.text
    encoder = load_encoder(SwinEncoder(size="tiny"), out)
    given = torch.load(weights, weights_only=True)
    [norm] = [tensor for name, tensor in given.items() if name.endswith("swin.layernorm.weight")]
    assert torch.equal(encoder.norm.weight, norm)


def test_colour_can_stay(weights, tmp_path):
    out = tmp_path / "swin.safetensors"
    assert main(["convert", str(weights), str(out), "--colour"]) == 0
    assert load_file(out)["swin.patch_embed.proj.weight"].shape == (96, 3, 4, 4)


def test_an_encoder_goes_out_and_comes_back(tmp_path):
    network = SwinMIM(SwinEncoder(size="tiny"))
    torch.save({"model": network.state_dict()}, tmp_path / "best.pt")
    out, back = tmp_path / "out.safetensors", tmp_path / "back.safetensors"
    assert main(["convert", str(tmp_path / "best.pt"), str(out), "--export"]) == 0
    assert "layers.2.blocks.5.attn.qkv.weight" in load_file(out)
    assert main(["convert", str(out), str(back)]) == 0
    again = load_encoder(SwinEncoder(size="tiny"), back).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in network.encoder.state_dict().items())


def test_a_file_with_code_in_it_is_refused(tmp_path, capsys):
    class Bomb:
        def __reduce__(self):
            return print, ("boom",)

    torch.save({"model": Bomb()}, tmp_path / "bad.pt")
    assert main(["convert", str(tmp_path / "bad.pt"), str(tmp_path / "out.safetensors")]) == 1
    told = capsys.readouterr()
    assert "boom" not in told.out
    assert "bad.pt is not a checkpoint of tensors only" in told.err
    assert not (tmp_path / "out.safetensors").exists()


def test_another_network_or_ending_is_refused(weights, tmp_path, capsys):
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pt")
    assert main(["convert", str(tmp_path / "other.pt"), str(tmp_path / "out.safetensors")]) == 1
    assert "no Swin Transformer" in capsys.readouterr().err
    assert main(["convert", str(weights), str(tmp_path / "out.pt")]) == 1
    assert "weights are written as .safetensors" in capsys.readouterr().err


VIT = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 384}


@pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")  # of MONAI
def test_a_masked_autoencoder_becomes_an_encoder_for_grey_images(tmp_path, caplog):
    given, out = ViTMAEForPreTraining(ViTMAEConfig(image_size=64, **VIT)), tmp_path / "mae.safetensors"
    # transformers 5 leaves zeros in a new network, where MAE's files have sines and cosines.
    given.vit.embeddings.position_embeddings.data[:, 1:] = build_sincos_position_embedding((4, 4), 96, spatial_dims=2)
    torch.save({"model": given.state_dict()}, tmp_path / "mae.pth")
    with caplog.at_level("INFO"):
        assert main(["convert", str(tmp_path / "mae.pth"), str(out)]) == 0
    assert "1 input channel(s), --size micro, positions sincos" in caplog.text
    encoder = load_encoder(ViTEncoder(size="micro", image_size=(64, 64)), out)
    assert torch.equal(encoder.norm.weight, given.vit.layernorm.weight)
    assert encoder(torch.rand(1, 1, 112, 64))[-1].shape == (1, 96, 7, 4)


def test_learned_positions_are_resized_to_the_images_to_come(tmp_path):
    given, out = ViTModel(ViTConfig(image_size=64, **VIT)), tmp_path / "vit.safetensors"
    torch.save(given.state_dict(), tmp_path / "vit.pt")
    assert main(["convert", str(tmp_path / "vit.pt"), str(out), "--image_size", "96", "64"]) == 0
    load_encoder(ViTEncoder(size="micro", image_size=(96, 64), positions="learned"), out)


def test_a_vit_goes_out_and_comes_back(tmp_path):
    network = MaskedAutoencoder(ViTEncoder(size="micro"), decoder_dim=16, decoder_depth=1, decoder_heads=2)
    torch.save({"model": network.state_dict()}, tmp_path / "best.pt")
    out, back = tmp_path / "out.safetensors", tmp_path / "back.safetensors"
    assert main(["convert", str(tmp_path / "best.pt"), str(out), "--export"]) == 0
    assert "blocks.3.attn.qkv.weight" in load_file(out)
    assert main(["convert", str(out), str(back)]) == 0
    again = load_encoder(ViTEncoder(size="micro"), back).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in network.encoder.state_dict().items())


def test_a_released_mammo_clip_becomes_one_of_ours(tmp_path, caplog):
    text = small_text_encoder(40, width=16, depth=1)
    model = ImageTextModel(EfficientNetEncoder(size="b2"), text, embed_dim=8)
    ours = model.state_dict()
    released = export_mammo_clip(model.encoder.state_dict())
    released |= {f"text_encoder.text_encoder.{k}": v for k, v in text.model.state_dict().items()}
    released |= {
        k.replace("_projection.", "_projection.projection."): v for k, v in ours.items() if "_projection." in k
    }
    content = {"model": released | {"logit_scale": torch.tensor(2.5)}, "epoch": 7, "config": {"path": Path("/nowhere")}}
    torch.save(content, tmp_path / "b2-model.tar")
    with caplog.at_level("INFO"):
        assert main(["convert", str(tmp_path / "b2-model.tar"), str(tmp_path / "b2.safetensors")]) == 0
    assert "--encoder efficientnet --size b2" in caplog.text
    again = ImageTextModel(EfficientNetEncoder(size="b2"), small_text_encoder(40, width=16, depth=1), embed_dim=8)
    load_network(again, tmp_path / "b2.safetensors")
    for name, tensor in again.state_dict().items():
        torch.testing.assert_close(tensor, torch.tensor(2.5) if name == "logit_scale" else ours[name])
    load_encoder(EfficientNetEncoder(size="b2"), tmp_path / "b2.safetensors")


def released_classifier(path: Path, classes: int) -> tuple[EfficientNetEncoder, torch.nn.Linear]:
    """As Mammo-CLIP's training of classifiers writes them: weights, predictions of numpy, and scores."""
    encoder, head = EfficientNetEncoder(size="b2"), torch.nn.Linear(1408, classes)
    model = export_mammo_clip(encoder.state_dict())
    model |= {f"classifier.classification_head.{name}": tensor for name, tensor in head.state_dict().items()}
    content = {"model": model, "predictions": np.arange(3.0), "epoch": 4, "auroc": np.float64(0.9)}
    torch.save(content, path)
    return encoder.eval(), head


@pytest.mark.parametrize("classes", [1, 4])
def test_a_released_classifier_keeps_its_head(classes, tmp_path, caplog):
    encoder, head = released_classifier(tmp_path / "best.pth", classes)
    with caplog.at_level("INFO"):
        assert main(["convert", str(tmp_path / "best.pth"), str(tmp_path / "best.safetensors")]) == 0
    expected = max(classes, 2)
    assert f"--pooling average --head_norm none, one task of {expected} classes" in caplog.text
    ours = MammogramClassifier(EfficientNetEncoder(size="b2"), {"task": expected}, pooling="average").eval()
    load_network(ours, tmp_path / "best.safetensors")
    image = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        logits = head(encoder(image)[-1].mean(dim=(-2, -1)))
        found = ours(image).softmax(dim=-1)
    torch.testing.assert_close(
        found[:, 1:] if classes == 1 else found, logits.sigmoid() if classes == 1 else logits.softmax(dim=-1)
    )


def test_a_classifier_with_code_in_it_is_refused(tmp_path, capsys):
    class Bomb:
        def __reduce__(self):
            return print, ("boom",)

    released_classifier(tmp_path / "best.pth", 1)
    content = read_checkpoint(tmp_path / "best.pth")
    torch.save(content | {"predictions": Bomb()}, tmp_path / "bad.pth")
    assert main(["convert", str(tmp_path / "bad.pth"), str(tmp_path / "out.safetensors")]) == 1
    told = capsys.readouterr()
    assert "boom" not in told.out
    assert "bad.pth is not read: it asks for builtins.print" in told.err
    assert not (tmp_path / "out.safetensors").exists()
