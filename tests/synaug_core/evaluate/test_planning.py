import numpy as np
import pytest
from scipy import stats

from synaug_core.evaluate.contrast import contrast
from synaug_core.evaluate.metrics import scores
from synaug_core.evaluate.planning import Needed, Power, power_report
from synaug_core.evaluate.power import Spread, sign_flip_power
from synaug_core.evaluate.sentence import power_text

ARMS = ("ours", "theirs")


def _report(found, **more):
    options = {"level": 0.05, "resamples": 400, "seed": 0} | more
    return power_report(found["ours"], found["theirs"], "balanced_accuracy", **options)


def test_what_a_report_holds(crossed):
    found = crossed(np.random.default_rng(0), ARMS, 6, gain=0.2)
    report = _report(found)
    d = [
        scores(a)["balanced_accuracy"] - scores(b)["balanced_accuracy"]
        for a, b in zip(found["ours"], found["theirs"], strict=True)
    ]
    assert report.sd == pytest.approx(np.std(d, ddof=1))
    assert report.from_repetitions == pytest.approx(report.sd / np.sqrt(6))
    assert (report.repetitions, report.images, report.power) == (6, 110, 0.8)
    assert report.observed.gain == pytest.approx(np.mean(d))
    assert [n.gain for n in report.wished] == [0.02, 0.05]
    assert Power.model_validate_json(report.model_dump_json()) == report


def test_the_parts_add_up_to_how_much_the_difference_really_varies(crossed):
    """Over new images and new trainings, the mean difference has the variance that one comparison estimates."""
    rng = np.random.default_rng(3)
    for suits, luck in ((0.8, 0.2), (0.2, 0.5)):
        estimated, seen = [], []
        for _ in range(150):
            found = crossed(rng, ARMS, 6, counts=(30, 40), suits=suits, luck=luck)
            report = _report(found, resamples=60)
            estimated.append((report.from_repetitions**2, report.from_images**2))
            seen.append(report.observed.gain if report.observed else _mean_difference(found))
        assert np.sum(np.mean(estimated, axis=0)) == pytest.approx(np.var(seen), rel=0.3)
        repetitions, images = np.mean(estimated, axis=0)
        assert (images > repetitions) == (suits > luck)


def _mean_difference(found):
    means = [np.mean([scores(p)["balanced_accuracy"] for p in found[arm]]) for arm in ARMS]
    return means[0] - means[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "suits", "luck", "gain"), [(6, 0.3, 0.5, 0.6), (6, 0.8, 0.2, 0.6), (10, 0.5, 0.3, 0.4), (20, 0.3, 0.5, 0.35)]
)
def test_the_rule_finds_a_gain_about_as_often_as_predicted(crossed, n, suits, luck, gain):
    rng = np.random.default_rng(n)
    spread = np.sqrt(1.49 + suits**2 + luck**2)
    true = stats.norm.cdf((0.8 + gain) / spread) - stats.norm.cdf(0.8 / spread)
    found, parts, trials = 0, [], 400
    for seed in range(trials):
        arms = crossed(rng, ARMS, n, gain=gain, suits=suits, luck=luck)
        interval, p, _ = contrast(
            arms["ours"], arms["theirs"], "balanced_accuracy", confidence=0.95, resamples=300, seed=seed
        )
        found += interval.low > 0 and p < 0.05
        report = _report(arms, resamples=100)
        parts.append((report.from_repetitions**2, report.from_images**2))
    repetitions, images = np.mean(parts, axis=0)
    predicted = sign_flip_power(Spread(n * repetitions, 0.0, images), 0.05)(true, n)
    assert found / trials == pytest.approx(predicted, abs=0.1)


def test_few_or_equal_trainings_give_no_report(crossed):
    rng = np.random.default_rng(0)
    assert _report(crossed(rng, ARMS, 1)) is None
    same = crossed(rng, ARMS, 6)["ours"]
    assert _report({"ours": same, "theirs": same}) is None
    few = _report(crossed(rng, ARMS, 3))
    assert few.detectable is None
    assert few.wished[1].images is None
    assert "3 repetitions on 110 test images can show no gain at all" in power_text(few)


def test_a_loss_has_no_repetitions_that_show_it_as_a_gain(crossed):
    found = crossed(np.random.default_rng(0), ARMS, 6, gain=1.0)
    report = _report({"ours": found["theirs"], "theirs": found["ours"]})
    assert report.observed is None
    assert "seen here" not in power_text(report)


def test_folds(cross_validated):
    test, _ = cross_validated(np.random.default_rng(0), ARMS, folds=5, repetitions=4, gain=1.0)
    report = _report(test, folds=5)
    assert (report.repetitions, report.images) == (4, 60)
    assert report.from_images == pytest.approx(report.sd / 2)
    assert report.from_repetitions == pytest.approx(report.sd / np.sqrt(20))
    assert power_text(report).startswith("5-fold cross-validation repeated 4 times on 60 test images would show")
    small = report.wished[0]
    assert small.repetitions is None  # however often the same 60 images are divided anew
    assert small.images is None or small.images > 60
    large, _ = cross_validated(np.random.default_rng(0), ARMS, folds=5, repetitions=4, images=500)
    assert _report(large, folds=5).wished[1].images > 500


def test_in_words(crossed):
    report = _report(crossed(np.random.default_rng(1), ARMS, 6, gain=0.1))
    text = power_text(report)
    assert text.startswith("6 repetitions on 110 test images would show a true gain of ")
    assert "with a probability of 80 %; a gain of " in text
    assert "points (as seen here) would take " in text
    assert " 2 points would take " in text
    needed = report.model_copy(update={"wished": (Needed(gain=0.02, repetitions=1234, images=4332),)})
    assert power_text(needed).endswith("; a gain of 2 points would take 1,234 repetitions or about 4,300 test images.")
    hopeless = tuple(Needed(gain=g, repetitions=None, images=None) for g in (0.02, 0.05))
    neither = report.model_copy(update={"wished": hopeless, "detectable": None, "observed": None})
    assert power_text(neither).endswith(
        "; a gain of 2 points or 5 points would take more of both, repetitions and test images."
    )
    assert text.endswith(".")
