"""The prior correction: what a training draws, what is taken from the logits, and where it is in effect."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from synaug_core import digests
from synaug_core.checkpoints import Checkpoint
from synaug_core.classify import prior, scores
from synaug_core.classify.model import build
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import STANDARD_ARMS, ArmConfig, ClassifierConfig, SynthesisConfig
from synaug_core.data.imageset import concatenate
from synaug_core.seeds import stream
from synaug_core.synthesis.targeted.uncertainty import dropout_posterior

ORIGINAL = STANDARD_ARMS["original"]
SEEDS = {"init_seed": 3, "batch_seed": 4}


def _synthetic(images):
    return type(images)(
        images.images,
        images.labels,
        images.classes,
        tuple(f"s{i}" for i in images.ids),
        tuple(f"s{i}" for i in images.ids),
        ('{"generator": "vae"}',) * len(images),
    )


def test_the_correction_gives_the_rule_of_least_balanced_error_from_a_true_posterior():
    """Two normal distributions, the true posterior under a prior of 0.9 and 0.1: corrected, it decides at the middle,
    as the likelihoods do."""
    x = torch.linspace(-3, 3, 300, dtype=torch.float64)
    shares = torch.tensor([0.9, 0.1], dtype=torch.float64)
    log_likelihoods = torch.stack([-((x + 1) ** 2) / 2, -((x - 1) ** 2) / 2], dim=1)
    posterior_logits = log_likelihoods + shares.log() + 7.0
    corrected = posterior_logits - prior.log_ratios(shares)
    assert torch.allclose(corrected.log_softmax(1), log_likelihoods.log_softmax(1))
    assert torch.equal(corrected.argmax(1), (x > 0).long())
    assert int(posterior_logits.argmax(1).sum()) < int((x > 0).sum()) - 50


def test_equal_shares_and_absent_classes_have_nothing_to_correct():
    assert prior.log_ratios(torch.full((7,), 1 / 7, dtype=torch.float64)).tolist() == [0.0] * 7
    ratios = prior.log_ratios(torch.tensor([0.75, 0.0, 0.25], dtype=torch.float64))
    assert ratios.tolist() == pytest.approx([math.log(1.5), 0, math.log(0.5)])


@pytest.mark.parametrize(
    ("arm", "weights", "expected"),
    [
        (ORIGINAL, "none", (0.6, 0.4)),
        (ORIGINAL, "balanced", (0.5, 0.5)),
        (STANDARD_ARMS["control"], "none", (0.5, 0.5)),
        (STANDARD_ARMS["control"], "balanced", (0.5, 0.5)),
    ],
)
def test_the_prior_is_that_of_the_draws_and_weights(make_set, quick, arm, weights, expected):
    config = quick.model_copy(update={"steps": 6, "class_weights": weights})
    made = train(TrainingJob(config, arm, make_set((12, 8)), make_set(seed=1), **SEEDS))
    assert made.history.prior == pytest.approx(expected)
    shift = torch.tensor(expected).log() - math.log(0.5)
    assert torch.allclose(made.model.prior_shift, shift, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"synthetic_weight": 1.0}, (12, 12)),
        ({"synthetic_weight": 3.0}, (12, 20)),
        ({"synthetic_weight": 3.0, "sampling": "balanced"}, (1, 5 / 3)),
        ({"pretrain": 0.5}, (12, 8)),
    ],
)
def test_synthetic_images_count_as_they_are_drawn_and_weighed(make_set, quick, settings, expected):
    arm = ArmConfig(name="a", synthesis=SynthesisConfig(), **settings)
    images = concatenate([make_set((12, 8)), _synthetic(make_set((0, 4), seed=5))])
    made = train(TrainingJob(quick.model_copy(update={"steps": 6}), arm, images, make_set(seed=1), **SEEDS))
    assert made.history.prior == pytest.approx([e / sum(expected) for e in expected])


def test_expected_shares_are_those_of_the_draws(make_set):
    """The prior agrees with counting many draws."""
    from synaug_core.classify.sampling import IndexSampler

    labels = make_set((9, 3, 0, 2)).labels
    for sampling in ("natural", "balanced"):
        sampler = IndexSampler(labels, 20, sampling, stream(0))
        counts = torch.bincount(torch.cat([sampler.next() for _ in range(400)]), minlength=len(labels))
        assert torch.allclose(counts / 8000, sampler.shares().float(), atol=0.01)


def test_the_training_itself_does_not_see_it(make_set, quick):
    """Else it would learn to undo it: with and without correction the same weights are learnt."""
    config = quick.model_copy(update={"patience": 50})
    with_it, without = (
        train(
            TrainingJob(
                config.model_copy(update={"prior_correction": tau}), ORIGINAL, make_set(), make_set().take([]), **SEEDS
            )
        )
        for tau in (1.0, 0.0)
    )
    weights = without.model.state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in with_it.model.state_dict().items() if k != "prior_shift")
    test = make_set(seed=2)
    log_odds = [torch.from_numpy(m.predict(test)).double().log().diff(dim=1) for m in (with_it, without)]
    assert torch.allclose(log_odds[0] - log_odds[1], torch.tensor(math.log(12 / 8), dtype=torch.float64), atol=1e-3)


def test_validation_images_are_judged_with_it(make_set, quick):
    val = make_set((12, 8), seed=1)
    made = train(TrainingJob(quick.model_copy(update={"patience": 50}), ORIGINAL, make_set((30, 4)), val, **SEEDS))
    best = next(e for e in made.history.evaluations if e.step == made.history.best_step)
    rows = torch.from_numpy(made.predict(val))
    assert best.val_loss == pytest.approx(scores.cross_entropy(rows.log(), val.labels), rel=1e-4)
    assert best.val_balanced_accuracy == scores.balanced_accuracy(rows, val.labels)
    assert made.history.prior_correction == 1.0


def test_auto_takes_the_least_balanced_loss(make_set, quick):
    config = quick.model_copy(update={"prior_correction": "auto", "patience": 50})
    val = make_set((12, 8), seed=1)
    made = train(TrainingJob(config, ORIGINAL, make_set((30, 4)), val, **SEEDS))
    ratios = prior.log_ratios(torch.tensor(made.history.prior, dtype=torch.float64))
    uncorrected = torch.from_numpy(made.predict(val)).double().log() + made.history.prior_correction * ratios
    losses = {tau: scores.balanced_cross_entropy(uncorrected - tau * ratios, val.labels) for tau in prior.STRENGTHS}
    assert made.history.prior_correction == min(losses, key=losses.get)
    assert made.history.prior_correction in {e.prior_correction for e in made.history.evaluations}


def test_auto_prefers_the_plain_correction_among_equals(make_set, quick):
    config = quick.model_copy(update={"prior_correction": "auto", "steps": 6})
    assert (
        train(TrainingJob(config, ORIGINAL, make_set((8, 8)), make_set(seed=1), **SEEDS)).history.prior_correction
        == 1.0
    )
    alone = train(TrainingJob(config, ORIGINAL, make_set((12, 4)), make_set().take([]), **SEEDS))
    assert alone.history.prior_correction == 1.0
    assert alone.model.prior_shift.tolist() == pytest.approx([math.log(1.5), math.log(0.5)])


def test_a_killed_training_goes_on_with_its_correction(make_set, quick, tmp_path):
    config = quick.model_copy(update={"prior_correction": "auto", "patience": 50})
    data = (make_set((30, 4)), make_set((12, 8), seed=1))
    whole = train(TrainingJob(config, ORIGINAL, *data, **SEEDS))

    def kill(done: int, total: int, **values: float) -> None:
        if done == 13:
            raise KeyboardInterrupt

    saved = Checkpoint(tmp_path / "state.pt", interval=0)
    with pytest.raises(KeyboardInterrupt):
        train(TrainingJob(config, ORIGINAL, *data, **SEEDS, checkpoint=saved, progress=kill))
    resumed = train(TrainingJob(config, ORIGINAL, *data, **SEEDS, checkpoint=saved))
    assert resumed.history.model_dump(exclude={"seconds"}) == whole.history.model_dump(exclude={"seconds"})
    assert torch.equal(resumed.model.prior_shift, whole.model.prior_shift)


def test_it_is_part_of_the_stored_classifier(make_set, quick, tmp_path):
    made = train(TrainingJob(quick, ORIGINAL, make_set((30, 4)), make_set(seed=1), **SEEDS))
    made.save(tmp_path)
    again = TrainedClassifier.load(tmp_path)
    test = make_set(seed=2)
    assert (again.predict(test) == made.predict(test)).all()
    assert again.history.prior == made.history.prior
    assert float(again.model.prior_shift.abs().sum()) > 1


def test_classifiers_of_earlier_versions_predict_as_before(make_set, quick, tmp_path):
    """Their weights have no correction and their description does not know of it."""
    made = train(
        TrainingJob(
            quick.model_copy(update={"prior_correction": 0.0}), ORIGINAL, make_set((30, 4)), make_set(seed=1), **SEEDS
        )
    )
    made.save(tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    del weights["prior_shift"]
    save_file(weights, tmp_path / "weights.safetensors")
    spec = json.loads((tmp_path / "spec.json").read_text())
    del spec["config"]["prior_correction"], spec["history"]["prior"], spec["history"]["prior_correction"]
    for evaluation in spec["history"]["evaluations"]:
        del evaluation["prior_correction"]
    spec["weights"] = digests.of_bytes((tmp_path / "weights.safetensors").read_bytes())
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    old = TrainedClassifier.load(tmp_path)
    test = make_set(seed=2)
    assert (old.predict(test) == made.predict(test)).all()
    assert old.history.prior_correction == 0.0


def test_the_posterior_of_targeted_synthesis_has_it():
    config = ClassifierConfig(width=4, dropout=0.0)
    model = build(config, channels=1, size=16, classes=("a", "b"), seed=0, mean=(0.5,), std=(0.2,)).eval()
    images = torch.rand(5, 1, 16, 16, generator=stream(0))
    with torch.no_grad():
        model.prior_shift.copy_(torch.tensor([1.0, -1.0]))
        samples = dropout_posterior(model, 2, stream(0))(images)
        assert torch.allclose(samples[0], model(images).double().softmax(1))
        odds = samples[0].log().diff(dim=1)
        model.prior_shift.zero_()
        assert torch.allclose(odds - model(images).double().diff(dim=1), torch.tensor(2.0, dtype=torch.float64))


def test_the_balanced_loss_weighs_every_class_alike():
    logits = torch.randn(30, 3, generator=stream(1))
    labels = torch.tensor([0] * 24 + [1] * 6)
    parts = [scores.cross_entropy(logits[labels == c], labels[labels == c]) for c in (0, 1)]
    assert scores.balanced_cross_entropy(logits, labels) == pytest.approx(sum(parts) / 2)
