"""The classifier that tells synthetic from real images: what it sees, what chance reaches, and what leads nowhere."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import laplace
from sklearn.metrics import roc_auc_score

from synaug_core.data.imageset import ImageSet
from synaug_core.quality.distances import sharpness
from synaug_core.quality.separability import _areas, _directions, measure_separability, pixel_statistics
from synaug_core.report.quality import describe_separability
from synaug_core.seeds import stream


def noise(n: int, *, seed: int, name: str = "real", parents: list[list[str]] | None = None) -> ImageSet:
    images = torch.randint(0, 256, (n, 3, 16, 16), generator=stream(seed), dtype=torch.uint8)
    ids = tuple(f"{name}/{i}" for i in range(n))
    texts = tuple(json.dumps({"parents": p}) for p in parents or [[]] * n)
    return ImageSet(images, torch.zeros(n, dtype=torch.int64), ("a",), ids, ids, texts)


def pairs(n: int, count: int, *, seed: int) -> list[list[str]]:
    rows = torch.randint(0, count, (n, 2), generator=stream(seed)).tolist()
    return [[f"real/{i}" for i in row] for row in rows]


def blurred(images: ImageSet) -> ImageSet:
    pixels = F.avg_pool2d(images.images.float(), 3, stride=1, padding=1).round().to(torch.uint8)
    return dataclasses.replace(images, images=pixels)


def test_blurred_images_are_told_from_real_ones():
    real = noise(24, seed=1)
    synthetic = blurred(noise(40, seed=2, name="synthetic", parents=pairs(40, 24, seed=3)))
    result = measure_separability(real, synthetic, most=100, seed=1)
    assert result.auc > 0.95
    assert 0.5 < result.chance < 0.85


def test_what_a_classifier_is_not_shown_gives_nothing_away():
    """Noise averaged over blocks of four pixels, and noise in them: alike once they are shrunk to a quarter."""

    def in_blocks(images: ImageSet, amount: int, *, seed: int) -> ImageSet:
        coarse = images.images[..., ::4, ::4].repeat_interleave(4, -1).repeat_interleave(4, -2).float() / 2 + 64
        fine = torch.randn(coarse.shape, generator=stream(seed))
        fine -= F.avg_pool2d(fine, 4).repeat_interleave(4, -1).repeat_interleave(4, -2)
        return dataclasses.replace(images, images=(coarse + amount * fine).round().clamp(0, 255).to(torch.uint8))

    real = in_blocks(noise(40, seed=1), 12, seed=6)
    synthetic = in_blocks(noise(40, seed=2, name="synthetic", parents=pairs(40, 40, seed=3)), 0, seed=7)
    apart, shown = (measure_separability(real, synthetic, most=100, seed=1, shown=size) for size in (16, 4))
    assert apart.auc > 0.95
    assert shown.auc < shown.chance
    assert measure_separability(real, synthetic, most=100, seed=1, shown=32) == apart


@pytest.mark.parametrize("parents", [None, pairs(30, 24, seed=5)])
def test_images_as_good_as_real_ones_are_not(parents):
    above = []
    for seed in range(20):
        synthetic = noise(30, seed=100 + seed, name="synthetic", parents=parents)
        result = measure_separability(noise(24, seed=seed), synthetic, most=100, seed=seed)
        above.append(result.auc > result.chance)
    assert sum(above) <= 2


def test_copies_rank_as_what_they_copy():
    real = noise(24, seed=1)
    copies = dataclasses.replace(real, ids=tuple(f"synthetic/{i}" for i in range(24)))
    copies = dataclasses.replace(copies, provenance=tuple(json.dumps({"parents": [i]}) for i in real.ids))
    assert measure_separability(real, copies, most=100, seed=1).auc == 0.5


def test_equal_arguments_give_equal_results_and_the_order_of_other_classes_has_no_say():
    real, synthetic = noise(24, seed=1), blurred(noise(40, seed=2, name="synthetic"))
    first, second = (measure_separability(real, synthetic, most=16, seed=4) for _ in range(2))
    assert first == second
    assert measure_separability(real, synthetic, most=16, seed=5) != first


@pytest.mark.parametrize(("reals", "synthetics"), [(4, 20), (20, 0), (0, 3)])
def test_too_few_images_are_undefined(reals, synthetics):
    assert measure_separability(noise(reals, seed=1), noise(synthetics, seed=2), most=100, seed=1) is None


def test_images_of_one_group_are_undefined():
    real = dataclasses.replace(noise(20, seed=1), groups=("patient",) * 20)
    assert measure_separability(real, noise(20, seed=2, name="synthetic"), most=100, seed=1) is None


def test_areas_are_those_of_sklearn_over_the_pairs_of_parts():
    """With one pair of parts to test, the area is that of the discriminant learnt from the rest."""
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(60, 4)), random.random((60, 1)) < 0.4
    x[:, 0] += labels[:, 0]
    parts = np.repeat(np.eye(3, dtype=bool), 20, axis=0)
    wins = total = 0.0
    for left_out in ((0, 1), (0, 2), (1, 2)):
        tested = parts[:, left_out].any(1)
        direction = _directions(x[~tested], labels[~tested])
        ones = int(labels[tested].sum())
        wins += roc_auc_score(labels[tested, 0], x[tested] @ direction[:, 0]) * ones * (40 - ones)
        total += ones * (40 - ones)
    assert _areas(x, parts, labels)[0] == pytest.approx(wins / total)


def test_the_direction_is_that_of_linear_discriminant_analysis():
    """Of unshrunk total and within-class covariance the direction is the same; with many images nothing is shrunk."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    random = np.random.default_rng(0)
    labels = random.random((20_000, 1)) < 0.3
    x = random.normal(size=(20_000, 3)) @ random.normal(size=(3, 3)) + labels * [1.0, -0.5, 0.2]
    ours = _directions(x, labels)[:, 0]
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(x, labels[:, 0]).coef_[0]
    assert np.corrcoef(x @ ours, x @ theirs)[0, 1] > 0.999


def test_statistics_against_scipy_and_numpy():
    images = noise(3, seed=1).images
    rows = pixel_statistics(images).numpy()
    assert rows.shape == (3, 19)
    grey = images[0].double().mean(0).numpy() / 255
    expected = np.abs(laplace(grey)[1:-1, 1:-1]).mean()
    assert float(sharpness(images)[0]) == pytest.approx(expected)
    assert rows[0, 0] == pytest.approx(np.log(expected + 1e-3))
    assert np.exp(rows[0, 4:8]).sum() == pytest.approx(1 + 4e-3)
    assert rows[0, 10:13] == pytest.approx(images[0].double().mean((1, 2)).numpy() / 255)


def test_a_plain_image_has_finite_statistics():
    rows = pixel_statistics(torch.full((2, 1, 8, 8), 255, dtype=torch.uint8))
    assert bool(rows.isfinite().all())
    assert rows[0, 9] == 1


def test_a_slow_wave_lies_in_the_lowest_band_and_a_fast_one_in_the_highest():
    place = torch.arange(32)
    slow, fast = ((127 * (1 + torch.sin(2 * torch.pi * f * place))).to(torch.uint8) for f in (1 / 32, 7 / 16))
    images = torch.stack([wave.expand(1, 32, 32) for wave in (slow, fast)])
    assert pixel_statistics(images)[:, 4:8].argmax(1).tolist() == [0, 3]


def test_the_sentence_names_the_classes_and_what_chance_reaches(separable_report):
    text = describe_separability(separable_report(a=(0.98, 0.62), b=(0.55, 0.63)))
    assert text == (
        "A small classifier tells synthetic from real images of a (AUC 0.98; chance reaches 0.62). Only some classes "
        "have synthetic images, so that what gives these away can become their mark."
    )
    assert describe_separability(separable_report(b=(0.55, 0.63))) == ""
    everything = separable_report(**dict.fromkeys("abcdef", (0.9, 0.6)))
    assert describe_separability(everything).endswith("d (AUC 0.90; chance reaches 0.60) and 2 more.")


@pytest.fixture
def separable_report():
    from synaug_core.quality.report import ClassQuality, Figures, QualityReport

    def make(**areas: tuple[float, float]) -> QualityReport:
        classes = {
            name: ClassQuality(
                train=9,
                held_out=3,
                synthetic_count=9,
                synthetic=Figures(n=9, separability=area),
                reals=Figures(n=9, separability=chance),
            )
            for name, (area, chance) in areas.items()
        }
        return QualityReport(classes=classes, all_classes=tuple("abcdef"))

    return make
