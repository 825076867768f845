"""When to stop where a class has few images: models of several parts say it together."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synaug_core.config import GeneratorConfig, VAEConfig
from synaug_core.generators import autoencoding, elbo
from synaug_core.generators.base import FitJob
from synaug_core.generators.class_vae import ClassVAE, make_tasks, start_model
from synaug_core.testing.conformance import make_images

CPU = torch.device("cpu")


@given(st.integers(1, 80), st.sampled_from([0.0, 0.1, 0.3]), st.integers(0, 99))
def test_every_image_is_held_out_once_by_few_or_a_part_of_many(n, share, seed):
    divisions = autoencoding.divide_few(n, share, seed)
    expected = 3 if share and n >= 6 and round(share * n) < 5 else 0
    assert len(divisions) == expected
    held_out = [i for _, part in divisions for i in part.tolist()]
    assert sorted(held_out) == (list(range(n)) if expected else [])
    for rows, part in divisions:
        assert sorted([*rows.tolist(), *part.tolist()]) == list(range(n))
        assert len(rows) >= 2 * len(part) - 2


def test_the_class_s_own_model_learns_from_all_images_where_they_are_few():
    images = make_images({"few": 12, "many": 60}, 1, 16)
    few, many = make_tasks({name: images.of_class(name).images for name in images.classes}, GeneratorConfig(), 3)
    assert (len(few.rows), len(few.held_out), len(few.folds)) == (12, 0, 3)
    assert (len(many.rows), len(many.held_out), len(many.folds)) == (54, 6, 0)
    assert few.examined == few.folds
    assert many.examined == (many,)
    assert len({part.seed for part in few.models}) == 4


@pytest.mark.parametrize("execution", ["loop", "stack"])
def test_error_and_variance_are_those_of_all_images_held_out(small, execution):
    """Of models that learn nothing, so that they are known: each image is examined by the one that left it out."""
    config = small.model_copy(
        update={"vae": VAEConfig(execution=execution, warmup=0.0), "learning_rate": 1e-12, "augment": "none"}
    )
    images = make_images({"few": 13}, 1, 16)
    report = ClassVAE(config, images.classes, 1, 16).fit(images, FitJob(seed=3, device=CPU)).reports["few"]
    [task] = make_tasks({"few": images.images}, config, 3)
    total = 0.0
    for fold in task.folds:
        exam = autoencoding.draw_exam(fold.rows, fold.held_out, fold.seed, config.latent_dim)
        assert set(exam.rows.flatten().tolist()) == set(fold.held_out.tolist())
        pixels = images.images[exam.rows[0]].float() / 255
        with torch.no_grad():
            error, _ = elbo.terms(pixels, *start_model(fold, config)(pixels, exam.noise[0]))
        total += float(error.mean()) * len(fold.held_out)
    assert (report.images, report.held_out, report.folds) == (13, 0, 3)
    assert report.curves[0].held_out_error == pytest.approx(total / 13 / 256, rel=1e-3)
    assert report.curves[0].variance == pytest.approx(elbo.bounded(report.curves[0].held_out_error))


def test_other_classes_make_no_difference(small):
    images = make_images({"few": 12, "other": 9}, 1, 16)
    alone = images.take(images.labels == 0)
    both, one = (
        ClassVAE(small, names, 1, 16).fit(part, FitJob(seed=3, device=CPU))
        for names, part in ((("few", "other"), images), (("few",), alone))
    )
    assert torch.equal(both.sample(4, "few", seed=1), one.sample(4, "few", seed=1))


def test_a_class_is_stopped_before_it_knows_its_images_by_heart():
    """On noise nothing can be learnt that holds for others: the folds say so, and the early stop ends the training."""
    config = GeneratorConfig(
        steps=400, evaluate_every=10, patience=3, vae=VAEConfig(warmup=0.02), width=4, latent_dim=8, learning_rate=1e-2
    )
    noise = make_images({"few": 12}, 1, 16)
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, noise.images.shape, generator=random, dtype=torch.uint8)
    noise = dataclasses.replace(noise, images=pixels)
    report = ClassVAE(config, noise.classes, 1, 16).fit(noise, FitJob(seed=3, device=CPU)).reports["few"]
    assert report.status == "early stop"
    assert report.best_step < report.steps < 400
