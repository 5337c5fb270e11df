import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder, SwinMIM
from mammo.networks.losses import (
    AttentionSpectralPenalty,
    BreastBackgroundContrast,
    ClassificationObjective,
    MaskedReconstructionLoss,
    MultiTaskCrossEntropy,
    PretrainingObjective,
    SpectralNormPenalty,
)

LABELS = torch.tensor([[0], [1]])


@pytest.fixture
def classifier() -> MammogramClassifier:
    return MammogramClassifier(SwinEncoder(size="micro"))


@pytest.fixture
def objective(classifier) -> ClassificationObjective:
    return ClassificationObjective(
        MultiTaskCrossEntropy(classifier.tasks),
        SpectralNormPenalty(classifier, 1e-2),
        AttentionSpectralPenalty(1e-2),
        BreastBackgroundContrast(),
        contrast_weight=0.3,
    )


def test_pretraining_adds_reconstruction_and_spectral_norm():
    network = SwinMIM(SwinEncoder(size="micro"))
    target = torch.rand(2, 3, 64, 64).round()
    pred = network(target[:, :2], target[:, 2:])
    objective = PretrainingObjective(MaskedReconstructionLoss(), SpectralNormPenalty(network, 1e-2))
    total = objective(pred, target)
    expected = MaskedReconstructionLoss()(pred, target) + SpectralNormPenalty(network, 1e-2)()
    torch.testing.assert_close(total, expected)
    assert list(objective.parts) == ["reconstruction", "spectral"]


def test_pretraining_without_penalty_is_the_reconstruction():
    pred, target = torch.rand(1, 1, 8, 8), torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(
        PretrainingObjective(MaskedReconstructionLoss())(pred, target), MaskedReconstructionLoss()(pred, target)
    )


def test_classification_adds_its_four_terms(classifier, objective):
    x = torch.rand(2, 2, 64, 64).round()
    details = classifier(x, details=True)
    total = objective(details, LABELS)
    expected = (
        MultiTaskCrossEntropy(classifier.tasks)(details["logits"], LABELS)
        + SpectralNormPenalty(classifier, 1e-2)()
        + AttentionSpectralPenalty(1e-2)(details["attention"])
        + 0.3 * BreastBackgroundContrast()(details["breast"], details["background"])
    )
    torch.testing.assert_close(total, expected)


def test_maps_that_are_not_penalised_need_not_be_recorded(classifier):
    x = torch.rand(2, 2, 64, 64).round()
    objective, wants_maps = (
        ClassificationObjective(
            MultiTaskCrossEntropy(classifier.tasks),
            attention=AttentionSpectralPenalty(gamma),
            contrast=BreastBackgroundContrast(),
        )
        for gamma in (0.0, 1e-2)
    )
    plain = classifier(x, details=True, attention=False)
    assert "attention" not in plain
    torch.testing.assert_close(objective(plain, LABELS), objective(classifier(x, details=True), LABELS))
    with pytest.raises(ValueError, match="attention=True"):
        wants_maps(plain, LABELS)


def test_parts_are_detached_and_add_up(classifier, objective):
    total = objective(classifier(torch.rand(2, 2, 64, 64).round(), details=True), LABELS)
    assert list(objective.parts) == ["classification", "spectral", "attention", "contrast"]
    assert not any(part.requires_grad for part in objective.parts.values())
    torch.testing.assert_close(sum(objective.parts.values()), total.detach())


def test_logits_alone_do_for_validation_only(classifier, objective):
    logits = classifier(torch.rand(2, 2, 64, 64))
    with pytest.raises(ValueError, match="details=True"):
        objective(logits, LABELS)
    with torch.no_grad():
        objective(logits, LABELS)
    assert list(objective.parts) == ["classification", "spectral"]


def test_plain_classification_takes_logits(classifier):
    logits = classifier(torch.rand(2, 1, 64, 64))
    loss = MultiTaskCrossEntropy(classifier.tasks)
    torch.testing.assert_close(ClassificationObjective(loss)(logits, LABELS), loss(logits, LABELS))


def test_objective_holds_no_weights_of_the_network(objective):
    assert list(objective.parameters()) == []
    assert objective.state_dict() == {}


def test_training_step_lowers_the_objective(classifier, objective):
    x = torch.rand(2, 2, 64, 64).round()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        losses.append(objective(classifier(x, details=True), LABELS))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
