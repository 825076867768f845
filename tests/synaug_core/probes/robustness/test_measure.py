"""One classifier measured: the same images for all, curves that cannot lie about eps, figures that add up."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from synaug_core.config import RobustnessConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.probes.robustness import attacks
from synaug_core.probes.robustness.curves import Point, Robustness
from synaug_core.probes.robustness.measure import choose_images, measure_robustness
from synaug_core.seeds import derive

CONFIG = RobustnessConfig(images=120, attacks=("pgd", "fgsm", "lowering"), eps=(8.0, 2.0, 40.0, 160.0), steps=5)


@pytest.fixture(scope="module")
def found(trained, digits) -> Robustness:
    return measure_robustness(trained, digits["test"], CONFIG, seed=1)


def _curve(found, name):
    return [p.balanced_accuracy for p in next(c for c in found.curves if c.name == name).points]


def _rights(found, name):
    return [p.accuracy for p in next(c for c in found.curves if c.name == name).points]


def test_there_is_a_curve_for_all_that_was_asked(found):
    assert [c.name for c in found.curves] == [*CONFIG.perturbations, *CONFIG.attacks]
    for curve in found.curves:
        strengths = [p.strength for p in curve.points]
        assert strengths == ([0, 1, 2, 3, 4, 5] if curve.kind == "perturbation" else [0, 2, 8, 40, 160])
        assert curve.points[0] == found.clean


def test_strength_0_is_what_the_classifier_says_of_the_images(found, trained, digits):
    used = choose_images(digits["test"], 120, derive(1, "images"))
    right = trained.predict(used).argmax(1) == used.labels.numpy()
    recall = [right[used.labels.numpy() == c].mean() for c in range(10)]
    assert found.clean.accuracy == pytest.approx(right.mean())
    assert found.clean.balanced_accuracy == pytest.approx(np.mean(recall))
    assert found.clean.balanced_accuracy > 0.9
    assert (found.images, found.classes) == (len(used), {c: n for c, n in used.counts().items() if n})


def test_severity_5_hurts_more_than_severity_1(found):
    mild, hard = ([_curve(found, name)[s] for name in CONFIG.perturbations] for s in (1, 5))
    assert np.mean(hard) < np.mean(mild) - 0.1
    assert np.mean(mild) < found.clean.balanced_accuracy
    assert sum(h <= m for h, m in zip(hard, mild, strict=True)) >= 6


@pytest.mark.parametrize("name", CONFIG.attacks)
def test_accuracy_never_rises_with_eps(found, name):
    rights = _rights(found, name)
    assert all(a >= b for a, b in itertools.pairwise(rights))


def test_pgd_is_nowhere_weaker_than_fgsm(found):
    assert all(a <= b for a, b in zip(_rights(found, "pgd"), _rights(found, "fgsm"), strict=True))
    assert sum(_rights(found, "pgd")) < sum(_rights(found, "fgsm"))


@pytest.mark.parametrize("name", ["pgd", "lowering"])
def test_a_large_eps_leaves_nothing(found, name):
    assert _rights(found, name)[-1] < 0.02


def test_the_short_cuts_change_no_count(trained, digits, found):
    """Images that are fooled already are left out of later attacks; attacking all of them says the same."""
    used = choose_images(digits["test"], 120, derive(1, "images"))
    model = attacks.freeze_copy(trained.model)
    clean = attacks.measure_response(model, used.images.float() / 255, used.labels)
    fooled = clean.fooled
    for eps, expected in zip((2, 8, 40, 160), _rights(found, "fgsm")[1:], strict=True):
        fooled = fooled | attacks.fgsm(model, clean, used.labels, eps=eps / 255).fooled
        assert 1 - float(fooled.float().mean()) == pytest.approx(expected, abs=1e-6)


def test_the_same_again_gives_the_same(trained, digits, found):
    state = torch.get_rng_state()
    again = measure_robustness(trained, digits["test"], CONFIG, seed=1)
    assert again.model_dump_json() == found.model_dump_json()
    assert torch.equal(torch.get_rng_state(), state)


def test_other_disturbances_do_not_change_a_curve(trained, digits, found):
    few = CONFIG.model_copy(update={"perturbations": ("noise",), "attacks": ("pgd",), "eps": (2.0,)})
    alone = measure_robustness(trained, digits["test"], few, seed=1)
    assert _curve(alone, "noise") == _curve(found, "noise")
    assert [c.name for c in alone.curves] == ["noise", "pgd"]


def test_every_classifier_is_asked_about_the_same_images(trained, digits, monkeypatch):
    seen: list[torch.Tensor] = []
    whole = attacks.measure_response

    def looked(model, images, labels, *, gradient=True):
        seen.append(images.detach().clone())
        return whole(model, images, labels, gradient=gradient)

    monkeypatch.setattr(attacks, "measure_response", looked)
    config = RobustnessConfig(images=40, attacks=())
    other = replace(trained, model=attacks.freeze_copy(trained.model))
    torch.nn.init.normal_(other.model.linear.weight, generator=torch.Generator().manual_seed(0))
    for classifier in (trained, other):
        measure_robustness(classifier, digits["test"], config, seed=4)
    half = len(seen) // 2
    assert half == 36
    assert all(torch.equal(a, b) for a, b in zip(seen[:half], seen[half:], strict=True))


def test_the_classifier_is_not_touched(trained, digits):
    before = {k: v.clone() for k, v in trained.model.state_dict().items()}
    measure_robustness(
        trained, digits["test"], RobustnessConfig(images=10, perturbations=("blur",), eps=(2.0,), steps=2), seed=0
    )
    assert all(torch.equal(v, before[k]) for k, v in trained.model.state_dict().items())
    assert all(p.requires_grad for p in trained.model.parameters())


def test_figures_by_name(found):
    metrics = found.metrics()
    assert metrics["robust/pgd/eps_2/balanced_accuracy"] == _curve(found, "pgd")[1]
    assert metrics["robust/noise/severity_3/accuracy"] == _rights(found, "noise")[3]
    assert metrics["robust/pgd"] == pytest.approx(np.mean(_curve(found, "pgd")[1:]))
    disturbed = [p for name in CONFIG.perturbations for p in _curve(found, name)[1:]]
    assert metrics["robust/perturbed"] == pytest.approx(np.mean(disturbed))
    assert metrics["robust/clean"] == found.clean.balanced_accuracy
    assert len(metrics) == 5 + 2 * (7 * 5 + 3 * 4)


def test_as_json_and_back(found):
    assert Robustness.model_validate_json(found.model_dump_json()) == found
    with pytest.raises(ValidationError):
        Point(strength=1, accuracy=1.2, balanced_accuracy=0.5)


@pytest.mark.parametrize("empty", [{"attacks": ()}, {"eps": ()}, {"perturbations": ()}])
def test_what_is_not_asked_is_not_said(trained, digits, empty):
    config = RobustnessConfig(images=10, eps=(2.0,), steps=1).model_copy(update=empty)
    found = measure_robustness(trained, digits["test"], config, seed=0)
    assert {c.kind for c in found.curves} == ({"attack"} if "perturbations" in empty else {"perturbation"})
    assert ("perturbed" in found.summary()) == ("perturbations" not in empty)


def test_progress_is_told(trained, digits):
    told = []
    config = RobustnessConfig(images=100, perturbations=("flip",), attacks=())
    measure_robustness(
        trained, digits["test"], config, seed=0, progress=lambda done, total, **_: told.append((done, total))
    )
    assert told == [(64, 100), (100, 100)]


def test_images_of_another_shape_are_refused(trained, digits):
    test = digits["test"]
    with pytest.raises(ValueError, match="expected"):
        measure_robustness(
            trained, replace(test, images=test.images[..., ::2, ::2].contiguous()), RobustnessConfig(), seed=0
        )
    with pytest.raises(ValueError, match="none"):
        measure_robustness(trained, test.take([]), RobustnessConfig(), seed=0)


def _set(counts: tuple[int, ...]) -> ImageSet:
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)]).long()
    names = tuple(f"{c}-{i}" for c, n in enumerate(counts) for i in range(n))
    images = torch.zeros(len(names), 1, 4, 4, dtype=torch.uint8)
    return ImageSet(images, labels, tuple("abcdefgh"[: len(counts)]), names, names, ("{}",) * len(names))


class TestChosen:
    @pytest.mark.parametrize(
        ("counts", "most", "expected"),
        [
            ((50, 50), 20, (10, 10)),
            ((3, 50, 50), 43, (3, 20, 20)),
            ((100, 0, 7, 9), 36, (20, 0, 7, 9)),
            ((5, 5), 200, (5, 5)),
            ((4, 4, 4), 7, (2, 2, 3)),
        ],
    )
    def test_classes_are_as_equal_as_they_can_be(self, counts, most, expected):
        assert tuple(choose_images(_set(counts), most, 0).counts().values()) == expected

    def test_the_seed_decides_which(self):
        ids = choose_images(_set((30, 30)), 10, 0).ids
        assert ids == choose_images(_set((30, 30)), 10, 0).ids
        assert ids != choose_images(_set((30, 30)), 10, 1).ids
        assert ids != choose_images(_set((30, 30)), 60, 0).ids[:10]

    def test_another_class_changes_nobody_elses(self):
        ids = set(choose_images(_set((30, 30)), 20, 0).ids)
        assert ids <= set(choose_images(_set((30, 30, 30)), 30, 0).ids)

    def test_no_images(self):
        assert len(choose_images(_set((0, 0)), 10, 0)) == 0


def test_what_an_image_withstands_is_the_worst_of_all_attacks(found, trained, digits):
    used = choose_images(digits["test"], 120, derive(1, "images"))
    assert found.labels == tuple(used.labels.tolist())
    withstood = np.array(found.withstood)
    assert set(np.round(withstood * 4, 9)) <= {0, 1, 2, 3, 4}  # of four strengths
    least = min(np.mean(_rights(found, name)[1:]) for name in CONFIG.attacks)
    assert withstood.mean() <= least + 1e-9
    one = measure_robustness(trained, digits["test"], CONFIG.model_copy(update={"attacks": ("fgsm",)}), seed=1)
    assert np.mean(one.withstood) == pytest.approx(np.mean(_rights(one, "fgsm")[1:]))
    none = measure_robustness(trained, digits["test"], CONFIG.model_copy(update={"attacks": ()}), seed=1)
    assert (none.labels, none.withstood) == ((), ())
