"""Text encoders against transformers' own outputs, and folders that are refused."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
from mammo.networks import text_encoder
from mammo.networks.text_encoder import TextEncoder, load_text_encoder, small_text_encoder
from torch import nn

LENGTHS = (7, 4, 1)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Three texts of 7, 4 and 1 tokens, padded behind to 7."""
    mask = (torch.arange(7) < torch.tensor(LENGTHS)[:, None]).long()
    return torch.randint(1, 50, (3, 7)) * mask, mask


def small(pooling: str = "eos", **options) -> TextEncoder:
    return small_text_encoder(50, width=16, depth=2, heads=2, length=12, pooling=pooling, **options).eval()


@pytest.fixture
def bert():
    import transformers

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=12, **sizes)
    return transformers.BertModel(config).eval()


@pytest.mark.parametrize("pooling", ["eos", "bos", "mean"])
def test_a_text_is_what_its_own_tokens_alone_give(batch, pooling):
    encoder = small(pooling)
    pooled = encoder(*batch)
    assert pooled.shape == (3, encoder.out_channels)
    for row, length in enumerate(LENGTHS):
        hidden = encoder.model(input_ids=batch[0][row : row + 1, :length]).last_hidden_state[0]
        expected = {"eos": hidden[-1], "bos": hidden[0], "mean": hidden.mean(dim=0)}[pooling]
        torch.testing.assert_close(pooled[row], expected, atol=1e-5, rtol=1e-5)


class Echo(nn.Module):
    """A model whose hidden states are its tokens."""

    config = SimpleNamespace(hidden_size=1)

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=input_ids[..., None].float())


@pytest.mark.parametrize(("pooling", "expected"), [("eos", [30, 50]), ("bos", [10, 40]), ("mean", [20, 45])])
def test_padding_may_stand_in_front(pooling, expected):
    tokens = torch.tensor([[10, 20, 30, 99], [99, 99, 40, 50]])
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 1, 1]])
    assert TextEncoder(Echo(), pooling)(tokens, mask)[:, 0].tolist() == expected


@pytest.mark.parametrize("pooling", ["eos", "bos", "mean"])
def test_all_that_is_trained_is_used(batch, bert, pooling):
    encoder = TextEncoder(bert, pooling)
    encoder(*batch).square().sum().backward()
    assert [name for name, value in encoder.named_parameters() if value.grad is None] == []


def test_dropout_is_what_is_asked_for(batch):
    for rate, equal in ((0.0, True), (0.5, False)):
        encoder = small(dropout=rate).train()
        assert torch.equal(encoder(*batch), encoder(*batch)) is equal


def test_padding_is_the_token_that_is_named():
    embedding = small(pad=3).model.get_input_embeddings()
    assert embedding.weight[3].abs().max() == 0
    assert embedding.weight[0].abs().max() > 0


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_a_saved_model_comes_back_in_float32(batch, bert, tmp_path, stored):
    bert.to(stored).save_pretrained(tmp_path)
    loaded = load_text_encoder(tmp_path, "eos").eval()
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded(*batch), TextEncoder(bert.float())(*batch))


def test_modernbert_is_taken_too(batch, tmp_path):
    import transformers

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.ModernBertConfig(
        vocab_size=50, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, **sizes
    )
    model = transformers.ModernBertModel(config).eval()
    model.save_pretrained(tmp_path)
    loaded = load_text_encoder(tmp_path, "bos").eval()
    torch.testing.assert_close(loaded(*batch), model(*batch).last_hidden_state[:, 0])


def test_weights_that_are_missing_are_not_made_up(bert, tmp_path):
    from safetensors.torch import load_file, save_file

    bert.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 weights of its BertModel, such as encoder\.layer\.1"):
        load_text_encoder(tmp_path)


def test_a_pickle_is_not_read(bert, tmp_path):
    bert.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(bert.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"has no \*\.safetensors"):
        load_text_encoder(tmp_path)


def test_a_name_is_no_folder():
    with pytest.raises(ValueError, match=r"bert-base-uncased has no config\.json"):
        load_text_encoder("bert-base-uncased")


def test_errors_name_lengths_and_shapes(batch):
    with pytest.raises(ValueError, match="13 tokens are too long for a model of 12"):
        small()(torch.ones(1, 13, dtype=torch.int64), torch.ones(1, 13))
    with pytest.raises(ValueError, match=r"both \(B, L\); got \(3, 7\) and \(3, 6\)"):
        small()(batch[0], batch[1][:, :6])
    with pytest.raises(ValueError, match="width 10 is no multiple of 4 heads"):
        small_text_encoder(50, width=10, heads=4)
    with pytest.raises(ValueError, match="pad 50 is no token"):
        small_text_encoder(50, pad=50)


def test_without_transformers_the_module_loads_and_says_what_to_install(bert, monkeypatch, tmp_path):
    bert.save_pretrained(tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    spec = importlib.util.spec_from_file_location("mammo.networks.text_encoder_again", text_encoder.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    for call in (lambda: again.small_text_encoder(50), lambda: again.load_text_encoder(tmp_path)):
        with pytest.raises(ImportError, match=r"pip install 'mammo\[clip\]'"):
            call()
