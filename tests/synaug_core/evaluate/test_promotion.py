from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from synaug_core.config import PromotionConfig
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.promotion import Decision, gate, spent_confidence
from synaug_core.evaluate.proportions import mcnemar

COUNTS = {"class a": 5, "class b": 30, "class c": 60}


def _gate(challenger, champion, excluded=frozenset(), comparisons=1, **config):
    return gate(
        challenger,
        champion,
        train_counts=COUNTS,
        config=PromotionConfig(**config),
        confidence=0.95,
        resamples=1000,
        seed=0,
        excluded=excluded,
        comparisons=comparisons,
    )


def _outcomes(exact, rare_right, common_right):
    """20 images of the rare class, 100 of each other; so many of them right."""
    labels = [0] * 20 + [1] * 100 + [2] * 100
    predicted = [0] * rare_right + [1] * (20 - rare_right)
    for c in (1, 2):
        predicted += [c] * common_right + [3 - c] * (100 - common_right)
    return exact(labels, predicted, 3)


def test_the_first_model_is_promoted_where_it_is_better_than_guessing(exact):
    d = _gate(_outcomes(exact, 12, 80), None)
    assert d.promoted
    assert d.reason == (
        "Promoted: it is the first model, there is no champion to compare with; its balanced accuracy is 73.3 % (95 % "
        "interval 65.1 to 80.1 %), and guessing comes to 33.3 %."
    )
    assert d.metrics() == {
        "balanced_accuracy": d.first.mean, "balanced_accuracy/low": d.first.low, "balanced_accuracy/high": d.first.high,
    }  # fmt: skip
    assert Decision.model_validate_json(d.model_dump_json()) == d


def test_a_first_model_that_may_be_guessing_is_refused(exact):
    one_class = exact([0] * 20 + [1] * 100, [1] * 120, 2)
    d = _gate(one_class, None)
    assert (d.promoted, d.first.mean, d.chance) == (False, 0.5, 0.5)
    assert d.reason.startswith(
        "Not promoted: it is not shown to be better than guessing: its balanced accuracy is 50.0 %"
    )
    assert not _gate(exact([0, 1], [0, 1], 2), None).promoted  # two lucky images
    assert _gate(exact([0] * 9 + [1] * 9, [0] * 9 + [1] * 9, 2), None).promoted
    empty = one_class.in_order(())
    assert _gate(empty, None).promoted is False


def test_the_bounds_of_a_first_model_hold_their_level():
    """Guessing is taken for skill in at most 2.5 % of cases."""
    rng, labels = np.random.default_rng(0), np.repeat([0, 1, 2], (8, 25, 40))
    promoted = 0
    for _ in range(400):
        p = np.eye(3, dtype=np.float32)[rng.integers(0, 3, len(labels))]
        guess = Predictions(tuple(map(str, range(len(labels)))), labels.astype(np.int64), p, tuple(COUNTS))
        promoted += _gate(guess, None).promoted
    assert binomtest(promoted, 400, 0.025, alternative="greater").pvalue > 0.01


def test_looks_at_the_same_images_share_the_level(exact):
    assert spent_confidence(0.95, 1) == pytest.approx(0.95)
    spent = [(1 - spent_confidence(0.95, k)) / 2 for k in range(1, 4000)]
    assert sum(spent) == pytest.approx(0.05, abs=2e-5)
    challenger, champion = _outcomes(exact, 15, 80), _outcomes(exact, 8, 80)
    first, later = _gate(challenger, champion), _gate(challenger, champion, comparisons=6)
    assert first.promoted
    assert not later.promoted
    assert (first.comparisons, later.comparisons, later.confidence) == (1, 6, 0.95)
    assert later.rarest_confidence == pytest.approx(1 - 0.1 / 42)
    assert later.figures.rarest_recall.low < first.figures.rarest_recall.low
    assert later.figures.balanced_accuracy == first.figures.balanced_accuracy
    assert "99.7619 % interval" in later.reason
    assert "comparison 6 with this champion on these images" in later.reason
    assert _gate(_outcomes(exact, 19, 80), champion, comparisons=6).promoted


def test_better_on_the_rare_and_no_worse_overall_is_promoted(exact):
    d = _gate(_outcomes(exact, 18, 80), _outcomes(exact, 8, 80))
    assert d.promoted
    assert d.reason.startswith("Promoted: no worse overall")
    f = d.figures
    assert f.rarest_classes == ("class a",)
    assert (f.images, f.rarest_images) == (220, 20)
    assert f.rarest_recall.mean == pytest.approx(0.5)
    assert (f.champion_rarest_recall, f.challenger_rarest_recall) == (0.4, 0.9)
    assert f.balanced_accuracy.mean == pytest.approx(0.5 / 3)
    assert (f.only_challenger_right, f.only_champion_right) == (10, 0)
    assert d.metrics()["difference/rarest_recall/low"] == f.rarest_recall.low
    assert Decision.model_validate_json(d.model_dump_json()) == d


def test_worse_overall_is_refused_beyond_the_tolerance_only(exact):
    champion, challenger = _outcomes(exact, 8, 90), _outcomes(exact, 18, 64)  # +50 and -26, -26: -0.7 points
    assert _gate(challenger, champion, tolerance=0.01).promoted
    assert not _gate(challenger, champion, tolerance=0.01).is_worse
    d = _gate(challenger, champion, tolerance=0.005)
    assert not d.promoted
    assert "worse overall" in d.reason
    assert d.is_worse
    assert "no improvement shown" not in d.reason


def test_a_difference_just_at_the_tolerance_is_no_worse(exact):
    champion, challenger = _outcomes(exact, 8, 90), _outcomes(exact, 20, 57)  # (60 - 33 - 33) / 3 = -2 points
    assert _gate(challenger, champion, tolerance=0.02).promoted


def test_no_better_on_the_rare_is_refused(exact):
    d = _gate(_outcomes(exact, 9, 95), _outcomes(exact, 8, 80))
    assert not d.promoted
    assert "no improvement shown on the rarest classes" in d.reason
    assert not d.is_worse
    assert "class a" in d.reason


def test_two_lucky_images_make_no_champion(exact):
    labels = [0, 0] + [1] * 50 + [2] * 50
    common = [1] * 50 + [2] * 50
    d = _gate(exact(labels, [0, 0, *common], 3), exact(labels, [1, 1, *common], 3))
    assert not d.promoted
    assert d.figures.rarest_recall.mean == 1
    assert d.figures.rarest_recall.low <= 0


def test_several_rarest_classes(exact):
    d = _gate(_outcomes(exact, 18, 80), _outcomes(exact, 8, 80), rarest=2)
    assert d.figures.rarest_classes == ("class a", "class b")
    assert d.figures.rarest_recall.mean == pytest.approx(0.25)
    assert d.figures.rarest_images == 120


def test_a_class_without_test_images_is_not_the_rarest(exact):
    a, b = exact([1, 1, 2, 2], [1, 1, 2, 2], 3), exact([1, 1, 2, 2], [1, 2, 2, 2], 3)
    assert _gate(a, b).figures.rarest_classes == ("class b",)


def test_a_model_with_a_class_that_nobody_tested_is_not_promoted(exact):
    labels = [1] * 20 + [2] * 100
    challenger, champion = exact(labels, labels, 3), exact(labels, [2] * 20 + [2] * 100, 3)
    none = "there are no test images of class a; promote by hand if that is meant"
    d = _gate(challenger, champion)
    assert (d.promoted, d.reason) == (False, f"Not promoted: {none}.")
    assert d.figures.rarest_recall.low > 0
    first = _gate(challenger, None)
    assert (first.promoted, first.reason) == (False, f"Not promoted: {none}.")
    assert none in _gate(champion, challenger).reason


def test_equal_training_counts_are_told_apart_by_the_test_images(made):
    even = dict.fromkeys(COUNTS, 20)
    parts = {"config": PromotionConfig(rarest=2), "confidence": 0.95, "resamples": 50, "seed": 0}
    d = gate(made((40, 60, 8)), made((40, 60, 8), seed=1), train_counts=even, **parts)
    assert d.figures.rarest_classes == ("class c", "class a")
    assert d.figures.rarest_images == 48
    equal = gate(made((9, 9, 9)), made((9, 9, 9), seed=1), train_counts=even, **parts)
    assert equal.figures.rarest_classes == ("class a", "class b")


def test_the_order_of_images_does_not_matter(exact):
    champion = _outcomes(exact, 8, 80)
    turned = champion.in_order(champion.ids[::-1])
    assert _gate(_outcomes(exact, 18, 80), turned) == _gate(_outcomes(exact, 18, 80), champion)


def test_what_the_champion_was_trained_on_does_not_count(exact):
    """A champion that knows 96 of 100 images of two classes by heart looks better than it is on the others."""
    champion, challenger = _outcomes(exact, 8, 98), _outcomes(exact, 18, 60)
    fresh = tuple(champion.ids[i] for i in (*range(20), 20, 21, 118, 119, 120, 121, 218, 219))
    assert not _gate(challenger, champion).promoted
    d = _gate(challenger, champion, excluded=frozenset(champion.ids) - set(fresh))
    assert d.promoted
    assert d.figures.images == len(fresh)
    assert d.reason.endswith(" Compared on 28 of 220 test images: the champion was trained on the others.")
    assert d.figures == _gate(challenger.in_order(fresh), champion.in_order(fresh)).figures


def test_a_champion_trained_on_all_images_of_a_class_cannot_be_compared(exact):
    challenger, champion = _outcomes(exact, 18, 80), _outcomes(exact, 8, 80)
    d = _gate(challenger, champion, excluded=frozenset(champion.ids[:20]))
    assert (d.promoted, d.figures) == (False, None)
    assert d.reason == "Not promoted: the champion was trained on all of today's test images of class a."


def test_the_same_model_again_is_refused(made):
    p = made((5, 20, 30))
    d = _gate(p, p.in_order(p.ids[::-1]))
    assert not d.promoted
    assert "exactly what the champion predicts" in d.reason


def test_what_cannot_be_compared_is_refused(made):
    p = made((5, 6, 7))
    cases = {
        "same test images (18 in common, 0 only the challenger's, 1 only the champion's)": made((5, 6, 8)),
        "labels have changed": replace(p, labels=(p.labels + 1) % 3),
        "other classes": replace(p, classes=("x", "y", "z")),
    }
    for reason, champion in cases.items():
        d = _gate(p, champion)
        assert not d.promoted
        assert reason in d.reason
        assert d.figures is None
    empty = made((0, 0, 0))
    assert "no test images" in _gate(empty, empty).reason


def test_switched_off(made):
    d = _gate(made((5, 6, 7)), None, enabled=False)
    assert not d.promoted
    assert "switched off" in d.reason


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (3, 0), (8, 2), (30, 41), (900, 1100)])
def test_mcnemar_is_the_binomial_test(b, c):
    expected = binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected)


def test_equally_good_models_are_rarely_promoted():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], [12, 40, 60]).astype(np.int64)
    ids = tuple(map(str, range(len(labels))))

    def model():
        right = rng.random(len(labels)) < 0.7
        p = np.full((len(labels), 3), 0.1)
        p[np.arange(len(labels)), np.where(right, labels, (labels + 1) % 3)] = 0.8
        return Predictions(ids, labels, p, tuple(COUNTS))

    config = PromotionConfig()
    promoted = [
        gate(model(), model(), train_counts=COUNTS, config=config, confidence=0.95, resamples=200, seed=s).promoted
        for s in range(150)
    ]
    assert sum(promoted) <= 8


def test_a_champion_that_cannot_be_measured_is_not_replaced(made):
    d = gate(
        made((5, 6, 7)),
        None,
        train_counts=COUNTS,
        config=PromotionConfig(),
        confidence=0.95,
        resamples=100,
        seed=0,
        obstacle="the champion knows other classes",
    )
    assert not d.promoted
    assert d.reason == "Not promoted: the champion knows other classes."
    assert d.figures is None
