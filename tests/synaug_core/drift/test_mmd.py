from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from synaug_core.config import ClassifierConfig
from synaug_core.drift.inputs import choose_features, describe_images, gather_recent
from synaug_core.drift.mmd import mmd_test, rank_unusual
from synaug_core.packaged_weights import PackagedWeights
from synaug_core.quality import features as features_module
from synaug_core.seeds import stream


def normal(n: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, d, generator=stream(seed)) + shift


def slow_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, pair by pair."""
    pooled = np.concatenate([x, y]).astype(float)
    pooled /= pooled.std(axis=0)
    n = len(x)
    square = [[float(((a - b) ** 2).sum()) for b in pooled] for a in pooled]
    # of an even number of pairs torch takes the lower one as the median
    upper = sorted(square[i][j] for i in range(len(pooled)) for j in range(i + 1, len(pooled)))
    width = upper[(len(upper) - 1) // 2]

    def mean(rows: range, columns: range) -> float:
        pairs = [(i, j) for i in rows for j in columns if i != j]
        return sum(math.exp(-square[i][j] / (2 * width)) for i, j in pairs) / len(pairs)

    one, other = range(n), range(n, len(pooled))
    return mean(one, one) + mean(other, other) - 2 * mean(one, other)


def test_the_value_is_the_definition():
    x, y = normal(9, 4, 1), normal(7, 4, 2, 0.7) * torch.tensor([1.0, 5.0, 0.1, 100.0])
    found = mmd_test(x, y, permutations=99, seed=0)
    assert found.value == pytest.approx(slow_mmd(x.numpy(), y.numpy()), abs=1e-12)
    assert len(found.null) == 99
    assert found.p_value == (1 + sum(v >= found.value for v in found.null)) / 100


def test_every_relabelling_of_the_null_is_one_of_the_pool():
    x, y = normal(4, 3, 1), normal(3, 3, 2)
    pooled = np.concatenate([x, y])
    import itertools

    every = []
    for chosen in itertools.combinations(range(7), 3):
        rest = [i for i in range(7) if i not in chosen]
        every.append(
            mmd_test(torch.tensor(pooled[rest]), torch.tensor(pooled[list(chosen)]), permutations=99, seed=0).value
        )
    null = mmd_test(x, y, permutations=300, seed=5).null
    assert all(min(abs(v - e) for e in every) < 1e-9 for v in null)
    assert len({round(v, 9) for v in null}) > 0.8 * len({round(e, 9) for e in every})
    assert np.mean(null) == pytest.approx(np.mean(every), abs=0.05)


def test_under_one_distribution_p_is_uniform():
    # heavy tails, unequal numbers: the test is exact whatever the distribution
    p = [
        mmd_test(normal(30, 5, 2 * i) ** 3, normal(18, 5, 2 * i + 1) ** 3, permutations=99, seed=i).p_value
        for i in range(300)
    ]
    assert stats.kstest(p, stats.uniform.cdf).pvalue > 0.01
    for level in (0.01, 0.05, 0.2):
        assert stats.binomtest(sum(v <= level for v in p), len(p), level).pvalue > 0.01


def test_it_finds_what_is_there():
    shifted = [mmd_test(normal(60, 5, i), normal(40, 5, 100 + i, 0.8), permutations=199, seed=i) for i in range(10)]
    assert all(t.p_value <= 0.005 for t in shifted)
    assert all(t.value > np.quantile(t.null, 0.99) for t in shifted)
    wider = mmd_test(normal(150, 5, 1), 2.5 * normal(150, 5, 2), permutations=199, seed=0)
    assert wider.p_value <= 0.005  # the same mean


def test_equal_seeds_give_equal_nulls():
    x, y = normal(20, 3, 1), normal(20, 3, 2)
    first, second, third = (mmd_test(x, y, permutations=300, seed=s) for s in (1, 1, 2))
    assert first == second
    assert first.null != third.null
    assert first.value == third.value


def test_plain_images_do_not_break_it():
    same = torch.ones(12, 4)
    assert mmd_test(same, same, permutations=99, seed=0).p_value == 1.0
    mostly = torch.cat([torch.zeros(20, 4), torch.ones(2, 4)])
    assert 0 < mmd_test(mostly, mostly, permutations=99, seed=0).p_value <= 1
    assert mmd_test(torch.zeros(20, 4), torch.ones(20, 4), permutations=99, seed=0).p_value == 0.01


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (torch.ones(1, 3), torch.ones(5, 3), "two images"),
        (torch.ones(5, 3), torch.ones(5, 4), "one length"),
        (torch.full((5, 3), math.nan), torch.ones(5, 3), "no number"),
    ],
)
def test_what_cannot_be_compared(a: torch.Tensor, b: torch.Tensor, words: str):
    with pytest.raises(ValueError, match=words):
        mmd_test(a, b, permutations=99, seed=0)


def test_the_unusual_come_first():
    known, new = normal(50, 4, 1), normal(20, 4, 2)
    new[7] += 30
    new[3] += 10
    far, order, relative = rank_unusual(known, new)
    assert relative
    assert order[:2].tolist() == [7, 3]
    assert far[0] > far[1] > 3
    assert sorted(order.tolist()) == list(range(20))
    assert (far.diff() <= 0).all()
    assert 0.5 < float(far.median()) < 2  # a usual image is about as far as known ones are from each other


def test_darker_and_brighter_digits_are_found(digits, classifier):
    """Power on real images: 16 of 255 is hardly visible."""
    held_out = torch.cat([digits.val.images, digits.test.images])
    order = np.random.default_rng(1).permutation(len(held_out))
    known, recent = held_out[order[240:]], held_out[order[:240]]
    reference, _ = describe_images(known, classifier, "classifier")

    def p(images: torch.Tensor, seed: int = 0) -> float:
        return mmd_test(
            reference, describe_images(images, classifier, "classifier")[0], permutations=199, seed=seed
        ).p_value

    assert p(recent) > 0.01
    for change in (-60, 16, 60):
        assert p((recent.int() + change).clamp(0, 255).to(torch.uint8)) <= 0.005, change
    assert p(recent.flip(2)) <= 0.005


def test_features_and_classes_are_the_classifiers(digits, classifier):
    images = digits.val.images[:20]
    features, classes = describe_images(images, classifier, "classifier")
    assert features.shape == (20, classifier.model.linear.in_features)
    assert np.array_equal(classes.numpy(), classifier.predict(images).argmax(axis=1))
    small, same = describe_images(images, classifier, "thumbnails")
    assert small.shape == (20, 64)
    assert torch.equal(classes, same)
    expected = images.float().unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(-1, -2)).flatten(1) / 255
    assert torch.allclose(small, expected, atol=1e-6)
    assert describe_images(images[:0], classifier, "thumbnails")[0].shape == (0, 64)


def test_ties_are_ties_whatever_the_features():
    """Of one odd image the unbiased distance is 0 whichever side it is on, so that every relabelling is as far."""
    for seed in range(12):
        plain, odd = normal(1, 7, seed), normal(1, 7, 100 + seed)
        recent = torch.cat([plain.repeat(49, 1), odd])
        assert mmd_test(plain.repeat(60, 1), recent, permutations=199, seed=0).p_value == 1.0, seed


def test_without_a_usual_distance_there_are_no_multiples():
    known = torch.cat([torch.zeros(20, 3), torch.ones(4, 3)])
    new = torch.tensor([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    far, order, relative = rank_unusual(known, new)
    assert not relative
    assert order.tolist() == [1, 0]
    spread = float(known.std(dim=0, correction=0)[0])
    # four images lie at 1, so that the fifth nearest of 2 lies at 0
    assert far.tolist() == pytest.approx([2 * math.sqrt(3) / spread, 0.0])


@dataclass
class Kept:
    predicted: str
    pixels: np.ndarray | None = None
    features: np.ndarray | None = None


def test_what_was_kept_becomes_rows_with_those_that_can_be_shown_first(digits, classifier):
    images = digits.val.images[:4]
    own, said = describe_images(images, classifier, "classifier")
    names = [classifier.classes[i] for i in said]
    kept = [
        Kept(names[0], features=own[0].numpy()),
        Kept(names[1], pixels=images[1].numpy()),
        Kept(names[2], pixels=images[2, :, :8].numpy()),  # another shape
        Kept("of another model", features=own[2].numpy()),
        Kept(names[2], features=own[2, :-1].numpy()),
        Kept(names[3], pixels=images[3].numpy()),
    ]
    found = gather_recent(kept, classifier, "classifier")
    assert torch.equal(found.pixels, images[[1, 3]])
    assert found.classes.tolist() == said[[1, 3, 0]].tolist()
    assert torch.allclose(found.features, own[[1, 3, 0]], atol=1e-5)
    small = gather_recent(kept, classifier, "thumbnails")
    assert torch.equal(small.features, describe_images(images[[1, 3]], classifier, "thumbnails")[0])
    assert len(small.classes) == 2
    none = gather_recent([], classifier, "classifier")
    assert none.features.shape == (0, own.shape[1])
    assert none.pixels.shape == (0, *images.shape[1:])


def test_frozen_features_see_a_blur_and_serve_beside_training_images(digits, classifier):
    order = np.random.default_rng(2).permutation(len(digits.train))
    images = digits.train.images[order[:150]]
    reference, _ = describe_images(images[:90], classifier, "frozen")

    def p(recent: torch.Tensor) -> float:
        features, classes = describe_images(recent, classifier, "frozen")
        assert classes.tolist() == classifier.predict(recent).argmax(axis=1).tolist()
        return mmd_test(reference, features, permutations=199, seed=0).p_value

    recent = images[90:]
    assert p(recent) > 0.01
    assert p(torch.nn.functional.avg_pool2d(recent.float(), 3, 1, 1).to(torch.uint8)) <= 0.005
    assert p((recent.int() + 60).clamp(0, 255).to(torch.uint8)) <= 0.005


def test_by_what_images_are_compared(digits, classifier, monkeypatch):
    pixels = [Kept("0", pixels=image.numpy()) for image in digits.val.images[:5]]
    logged = [*pixels, Kept("0", features=np.zeros(8, dtype=np.float32))]
    assert choose_features("auto", logged, classifier, minimum=5) == "frozen"
    assert choose_features("auto", logged, classifier, minimum=6) == "classifier", "too few have pixels"
    for kind in ("frozen", "classifier", "thumbnails"):
        assert choose_features(kind, logged, classifier, minimum=6) == kind
    config = ClassifierConfig.model_validate({"training": "frozen"})
    frozen = dataclasses.replace(classifier, config=config)
    assert choose_features("auto", logged, frozen, minimum=6) == "classifier", "its own features are frozen ones"
    assert len(gather_recent(logged[:5], classifier, "frozen").features) == 5
    assert len(gather_recent(logged, classifier, "frozen").features) == 5, "kept features are of no use"
    features_module._backbone.cache_clear()
    monkeypatch.setattr(PackagedWeights, "locate", lambda self: None)
    assert choose_features("auto", logged, classifier, minimum=5) == "classifier", "no weights"
