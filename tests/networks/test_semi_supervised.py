"""Reconstruction beside classification: in training only, through one encoder, kept out of the classifier's file."""

import copy

import pytest
import torch
from mammo.networks import MammogramClassifier, MaskedReconstruction, SwinEncoder, SwinMIM, load_network
from mammo.networks.losses import ClassificationObjective, MaskedReconstructionLoss, MultiTaskCrossEntropy

WIDTHS = [32, 16, 8, 8]


def left_half(mask):
    hidden = torch.zeros_like(mask)
    hidden[..., : mask.shape[-1] // 2] = 1
    return hidden


def reaches(encoder):
    """Whether a gradient came to the encoder's first weights."""
    return next(encoder.parameters()).grad.abs().sum() > 0


def classifier(**options):
    encoder = SwinEncoder(size="micro")
    return MammogramClassifier(
        encoder, reconstruction=MaskedReconstruction(encoder, left_half, decoder_widths=WIDTHS, **options)
    )


@pytest.fixture
def objective():
    return ClassificationObjective(
        MultiTaskCrossEntropy({"pathology": 2}), reconstruction=MaskedReconstructionLoss(), reconstruction_weight=0.5
    )


@pytest.fixture
def x():
    return torch.rand(3, 2, 64, 64).round()


def test_images_with_holes_leave_the_running_statistics_alone(x):
    network = classifier().train()
    plain = MammogramClassifier(copy.deepcopy(network.encoder)).train()
    network(x, details=True)
    plain(x, details=True)
    for (name, mine), other in zip(network.encoder.named_buffers(), plain.encoder.buffers(), strict=True):
        assert torch.equal(mine, other), name


def test_it_reconstructs_what_pretraining_would(x):
    network = classifier().train()
    found = network(x, details=True)
    pretrainer = SwinMIM(network.encoder, decoder_widths=WIDTHS)
    pretrainer.decoder = network.reconstruction.decoder
    torch.testing.assert_close(found["reconstruction"], pretrainer(x, left_half(x[:, 1:])))
    torch.testing.assert_close(found["reconstruction_target"], torch.cat([x, left_half(x[:, 1:])], dim=1))


def test_outside_training_it_is_the_classifier_alone(x):
    network = classifier().eval()
    assert set(network(x, details=True)) == {"logits", "breast", "background", "attention"}
    plain = MammogramClassifier(network.encoder).eval()
    plain.head = network.head
    torch.testing.assert_close(network(x), plain(x))


def test_each_weight_is_there_once(x):
    network = classifier()
    decoder = sum(p.numel() for p in SwinMIM(SwinEncoder(size="micro"), decoder_widths=WIDTHS).decoder.parameters())
    plain = sum(p.numel() for p in MammogramClassifier(SwinEncoder(size="micro")).parameters())
    assert sum(p.numel() for p in network.parameters()) == plain + decoder
    assert not [name for name in network.state_dict() if name.startswith("reconstruction.encoder")]


def test_a_copy_trains_its_own_encoder(x, objective):
    network = classifier().train()
    twin = copy.deepcopy(network)
    objective(twin(x, details=True), torch.full((3, 1), -1)).backward()
    assert all(p.grad is None for p in network.parameters())
    assert reaches(twin.encoder)


def test_a_batch_without_labels_teaches_the_encoder_and_not_the_head(x, objective):
    network = classifier().train()
    loss = objective(network(x, details=True), torch.full((3, 1), -1))
    loss.backward()
    assert objective.parts["classification"] == 0
    torch.testing.assert_close(loss.detach(), objective.parts["reconstruction"])
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    assert network.head.weight.grad.abs().sum() == 0
    assert reaches(network.encoder)


def test_labelled_and_unlabelled_images_are_reconstructed_alike_and_only_labels_classify(x, objective):
    network = classifier().train()
    details, labels = network(x, details=True), torch.tensor([[1], [-1], [0]])
    loss = objective(details, labels)
    known = torch.nn.functional.cross_entropy(details["logits"][[0, 2]], torch.tensor([1, 0]))
    error = MaskedReconstructionLoss()(details["reconstruction"], details["reconstruction_target"])
    torch.testing.assert_close(loss, known + 0.5 * error)


def test_without_a_weight_nothing_is_asked_of_the_network(x):
    labels = torch.zeros(3, 1, dtype=torch.int64)
    loss = ClassificationObjective(MultiTaskCrossEntropy({"pathology": 2}), reconstruction=MaskedReconstructionLoss())
    details = MammogramClassifier(SwinEncoder(size="micro"))(x, details=True)
    torch.testing.assert_close(loss(details, labels), loss.classification(details["logits"], labels))


def test_a_network_that_reconstructs_nothing_is_refused(x, objective):
    details = MammogramClassifier(SwinEncoder(size="micro"))(x, details=True)
    with pytest.raises(ValueError, match="reconstructs nothing"):
        objective(details, torch.zeros(3, 1, dtype=torch.int64))


def test_its_file_is_a_classifiers_file(x, tmp_path):
    network = classifier().eval()
    torch.save(network.state_dict(), tmp_path / "best.pt")
    plain = load_network(MammogramClassifier(SwinEncoder(size="micro")), tmp_path / "best.pt").eval()
    torch.testing.assert_close(plain(x), network(x))


@pytest.mark.parametrize("fill", ["zero", "token"])
def test_the_decoder_starts_from_pretraining(tmp_path, fill):
    pretrained = SwinMIM(SwinEncoder(size="micro"), fill=fill, decoder_widths=WIDTHS)
    torch.save(pretrained.state_dict(), tmp_path / "best.pt")
    network = classifier(pretrained=tmp_path / "best.pt", fill=fill)
    for name, tensor in network.reconstruction.state_dict().items():
        torch.testing.assert_close(tensor, pretrained.state_dict()[name])


def test_another_decoder_is_refused_and_weights_without_one_are_not(tmp_path):
    torch.save(SwinMIM(SwinEncoder(size="micro"), decoder_widths=[8, 8, 8, 8]).state_dict(), tmp_path / "best.pt")
    with pytest.raises(ValueError, match=r"best\.pt is another one; give decoder"):
        classifier(pretrained=tmp_path / "best.pt")
    torch.save(SwinEncoder(size="micro").state_dict(), tmp_path / "public.pt")
    classifier(pretrained=tmp_path / "public.pt")
