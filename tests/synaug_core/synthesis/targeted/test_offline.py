import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from synaug_core.classify.training import TrainingJob
from synaug_core.classify.training import train as train_classifier
from synaug_core.config import (
    STANDARD_ARMS,
    ClassifierConfig,
    GeneratorConfig,
    OnlineConfig,
    SynthesisConfig,
    TargetedConfig,
)
from synaug_core.errors import ConfigError
from synaug_core.generators import registry as generators
from synaug_core.generators.base import FitJob
from synaug_core.generators.pixels import to_float
from synaug_core.seeds import stream
from synaug_core.synthesis import registry
from synaug_core.synthesis.reconstruct import reconstruct
from synaug_core.synthesis.strategy import Source
from synaug_core.synthesis.targeted import OnlineSynthesis, random, targeted
from synaug_core.synthesis.targeted.ascent import ascend
from synaug_core.synthesis.targeted.uncertainty import dropout_posterior, ensemble_posterior, mutual_information


@pytest.fixture
def source(digits, autoencoder, classifiers):
    return Source("4", digits.train.of_class("4"), autoencoder, classifiers[:1])


def config(**choices):
    return SynthesisConfig(targeted=TargetedConfig(**{"samples": 8, "steps": 4, **choices}))


def figures(made, name):
    return torch.tensor([o[name] for o in made.provenance], dtype=torch.float64)


@pytest.mark.parametrize("uncertainty", ["mi", "entropy"])
@pytest.mark.parametrize("posterior", ["dropout", "ensemble"])
def test_nearly_all_images_get_more_uncertain_within_the_bound(source, classifiers, uncertainty, posterior):
    both = dataclasses.replace(source, target=classifiers)
    made = targeted(both, 60, config(uncertainty=uncertainty, posterior=posterior, steps=6), seed=1)
    before, after = figures(made, "uncertainty_before"), figures(made, "uncertainty_after")
    length = figures(made, "step_length")
    assert float((after > before).double().mean()) >= 0.95
    assert float(length.max()) <= 0.5 + 1e-4
    assert made.measures["share_raised"] == float((after > before).double().mean())
    assert made.measures["uncertainty_before"] == pytest.approx(float(before.mean()))
    assert made.measures["uncertainty_after"] == pytest.approx(float(after.mean()))
    assert made.measures["step_length"] == pytest.approx(float(length.mean()))


def test_what_is_told_holds_for_the_images_themselves(source, classifiers):
    """Against masks that the ascent has not seen, and after rounding to uint8."""
    made, plain = (s(source, 60, config(steps=6), seed=1) for s in (targeted, reconstruct))
    fresh = dropout_posterior(classifiers[0].model, 200, stream(99))
    with torch.no_grad():
        after, before = (mutual_information(fresh(m.images / 255)) for m in (made, plain))
    assert float((after > before).double().mean()) >= 0.95
    assert float(figures(made, "uncertainty_before").mean()) == pytest.approx(float(before.mean()), rel=0.5)


@pytest.mark.parametrize("strategy", [targeted, random])
@pytest.mark.parametrize("choices", [{}, {"batch_size": 20}, {"batch_size": 40}])
def test_the_first_images_stay(source, strategy, choices):
    many = strategy(source, 50, config(**choices), seed=1)
    for n in (1, 20, 33):
        few = strategy(source, n, config(**choices), seed=1)
        assert torch.equal(few.images, many.images[:n])
        assert few.provenance == many.provenance[:n]
    assert not torch.equal(strategy(source, 50, config(), seed=2).images, many.images)
    assert len(strategy(source, 0, config(), seed=1).images) == 0


@pytest.mark.parametrize("strategy", [targeted, random])
@pytest.mark.parametrize("ends", ["mean", "sample"])
def test_no_step_is_the_reconstruction(source, strategy, ends):
    chosen = config(steps=0).model_copy(update={"ends": ends})
    made, plain = strategy(source, 40, chosen, seed=1), reconstruct(source, 40, chosen, seed=1)
    assert torch.equal(made.images, plain.images)
    assert [o["parents"] for o in made.provenance] == [o["parents"] for o in plain.provenance]
    assert made.measures["step_length"] == 0


@pytest.mark.parametrize("strategy", [targeted, random])
def test_with_its_detail_no_step_is_the_real_image(source, strategy):
    chosen = config(steps=0).model_copy(update={"detail": "residual"})
    made = strategy(source, 40, chosen, seed=1)
    rows = [source.images.ids.index(o["parents"][0]) for o in made.provenance]
    assert torch.equal(made.images, source.images.images[rows])


def test_with_detail_the_image_itself_gets_more_uncertain(source, classifiers):
    chosen = config(steps=6).model_copy(update={"detail": "residual"})
    made = targeted(source, 60, chosen, seed=1)
    plain = targeted(source, 60, config(steps=6), seed=1)
    rows = [source.images.ids.index(o["parents"][0]) for o in made.provenance]
    real = source.images.images[rows]
    fresh = dropout_posterior(classifiers[0].model, 200, stream(99))
    with torch.no_grad():
        after, before = (mutual_information(fresh(images / 255)) for images in (made.images, real))
    assert float((after > before).double().mean()) >= 0.95
    kept, lost = ((m.images.float() - real).pow(2).mean() for m in (made, plain))
    assert kept < lost


def test_detail_does_not_depend_on_how_many_are_asked_for(source):
    chosen = config().model_copy(update={"detail": "change"})
    assert torch.equal(targeted(source, 7, chosen, seed=1).images, targeted(source, 40, chosen, seed=1).images[:7])


def test_random_steps_are_as_long_as_targeted_ones(source):
    one, other = targeted(source, 40, config(), seed=1), random(source, 40, config(), seed=1)
    for name in ("parents", "uncertainty_before", "step_length"):
        assert [o[name] for o in one.provenance] == [o[name] for o in other.provenance]
    assert not torch.equal(one.images, other.images)
    assert other.measures["uncertainty_after"] < one.measures["uncertainty_after"]


def test_each_image_in_turn(source):
    n = len(source.images)
    made = targeted(source, n, config(steps=1), seed=1)
    assert sorted(o["parents"][0] for o in made.provenance) == sorted(source.images.ids)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_gives_what_its_images_give_one_by_one(source, autoencoder, classifiers, dtype):
    """In float32, rounding may turn a maximum of the pooling over, and with it a gradient: rarely."""
    classifier = copy.deepcopy(classifiers[0].model).to(dtype)
    classifier.linear.float()
    net = copy.deepcopy(autoencoder.model("4")).to(dtype)
    posterior = dropout_posterior(classifier, 8, stream(1))
    start = autoencoder.encode(source.images.images[:40], "4")[0].to(dtype)

    def climb(rows):
        return ascend(rows, lambda z: mutual_information(posterior(net.decode(z))), steps=5, step_size=0.5, radius=2.0)

    together, alone = climb(start), [climb(row[None]) for row in start]
    for one, other in ((together.z, [a.z for a in alone]), (together.after[:, None], [a.after[None] for a in alone])):
        apart = (one - torch.cat(other)).abs().amax(1)
        assert float((apart < 1e-4).float().mean()) >= (0.95 if dtype == torch.float32 else 1.0)


def test_a_class_of_one_image(source):
    single = dataclasses.replace(source, images=source.images.take([0]))
    made = targeted(single, 3, config(), seed=1)
    assert {o["parents"][0] for o in made.provenance} == {source.images.ids[0]}
    assert made.measures["uncertainty_after"] > made.measures["uncertainty_before"]


def test_the_classifier_and_the_global_stream_are_left_alone(source, classifiers):
    state = torch.random.get_rng_state()
    model = classifiers[0].model
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters()]
    targeted(source, 5, config(), seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))


@pytest.mark.parametrize("strategy", [targeted, random])
def test_what_is_missing_is_said(source, classifiers, strategy):
    def refused(what, chosen=None, **changes):
        with pytest.raises(ConfigError, match=what):
            strategy(dataclasses.replace(source, **changes), 3, chosen or config(), seed=1)

    refused("latent space", generator=None)
    refused("need a classifier trained on real images", target=())
    refused("two classifiers or more", config(posterior="ensemble"))
    still = dataclasses.replace(classifiers[0], model=classifiers[0].model)
    refused("the classifier takes", target=(dataclasses.replace(still, size=20),))
    rate = still.model.dropout.rate
    try:
        still.model.dropout.rate = 0.0
        refused("no dropout, so its posterior would have no spread", target=(still,))
    finally:
        still.model.dropout.rate = rate


def test_they_are_registered():
    for name, strategy in (("targeted", targeted), ("random", random)):
        entry = registry.find(name)
        assert (entry.make, entry.generator, entry.latent, entry.target) == (strategy, True, True, True)


def test_an_ensemble_uses_all_its_members(source, classifiers, autoencoder):
    both = dataclasses.replace(source, target=classifiers)
    made = targeted(both, 6, config(posterior="ensemble", steps=0), seed=1)
    posterior = ensemble_posterior([c.model for c in classifiers])
    z = autoencoder.encode(source.images.images, "4")[0]
    rows = [source.images.ids.index(o["parents"][0]) for o in made.provenance]
    with torch.no_grad():
        expected = mutual_information(posterior(autoencoder.decode(z[rows], "4")))
    torch.testing.assert_close(figures(made, "uncertainty_before"), expected, atol=1e-6, rtol=1e-4)


@pytest.fixture(scope="module")
def lifting(digits):
    """Generators that learn the digits' 16 px of images of 24 px, and a classifier of these."""
    train = enlarged(digits.train)
    config = GeneratorConfig(kind="autoencoder", steps=60, evaluate_every=30, width=8, image_size=16)
    generator = generators.create(config, train.classes, 1, 24).fit(train, FitJob(seed=1, device=torch.device("cpu")))
    quick = ClassifierConfig(width=6, steps=60, batch_size=32, evaluate_every=30, dropout=0.3)
    job = TrainingJob(quick, STANDARD_ARMS["original"], train, enlarged(digits.val), init_seed=1, batch_seed=1)
    return Source("4", train.of_class("4"), generator, (train_classifier(job),))


def enlarged(images):
    large = F.interpolate(images.images / 255, size=(24, 24), mode="bicubic").clamp(0, 1)
    return dataclasses.replace(images, images=(large * 255).round().to(torch.uint8))


@pytest.mark.parametrize("strategy", [targeted, random])
def test_images_of_a_smaller_generator_keep_all_detail_of_the_real_one(lifting, strategy):
    still = strategy(lifting, 20, config(steps=0), seed=1)
    rows = [lifting.images.ids.index(o["parents"][0]) for o in still.provenance]
    assert torch.equal(still.images, lifting.images.images[rows])
    moved = strategy(lifting, 20, config(), seed=1)
    assert {o["detail"] for o in moved.provenance} == {"residual"}
    assert int((moved.images.int() - still.images.int()).abs().max()) > 0
    assert torch.equal(strategy(lifting, 7, config(), seed=1).images, moved.images[:7])


def test_gradients_go_through_the_enlarging(lifting):
    moved = targeted(lifting, 40, config(steps=6), seed=1)
    assert moved.measures["share_raised"] >= 0.95
    fresh = dropout_posterior(lifting.target[0].model, 200, stream(99))
    rows = [lifting.images.ids.index(o["parents"][0]) for o in moved.provenance]
    with torch.no_grad():
        after, before = (mutual_information(fresh(i / 255)) for i in (moved.images, lifting.images.images[rows]))
    assert float((after > before).double().mean()) >= 0.9


@pytest.mark.parametrize("kind", ["targeted", "random", "reconstruct"])
def test_inside_the_training_too(lifting, digits, kind):
    train = enlarged(digits.train)
    choices = OnlineConfig(strategy=kind, samples=4, steps=0, share=0.5)
    maker = OnlineSynthesis([lifting.generator], train, choices, batch_size=8)
    made, labels = maker.make(lifting.target[0].model, torch.arange(8), stream(1))
    real = to_float(train.images[:4])
    assert torch.equal(labels, train.labels[:4])
    assert torch.allclose(made, real, atol=1e-5) == (kind != "reconstruct")
    plain = OnlineSynthesis([lifting.generator], train, choices.model_copy(update={"detail": "none"}), batch_size=8)
    decoded = lifting.generator.decode(maker._latents[:4], "1")
    torch.testing.assert_close(plain.make(lifting.target[0].model, torch.arange(8), stream(1))[0], decoded)
    assert plain.identity != maker.identity
