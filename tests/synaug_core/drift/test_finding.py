from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from scipy import stats

from synaug_core.config import WatchConfig
from synaug_core.drift.finding import Finding, detect_drift, reference_rows
from synaug_core.report.figures.drift import classes_figure, distance_figure
from synaug_core.report.style import png
from synaug_core.seeds import stream

CLASSES = ("a", "$b$ <i>", "rare")


def found(
    shift: float = 0.0, mix: tuple[float, ...] = (0.6, 0.3, 0.1), *, m: int = 60, seed: int = 0, **asked: object
) -> Finding:
    rng = np.random.default_rng(seed)
    known = torch.randn(120, 6, generator=stream(seed))
    recent = torch.randn(m, 6, generator=stream(seed + 10_000)) + shift
    config = WatchConfig(**{"minimum": 20, "permutations": 199, "level": 0.05, "looks": 1, **asked})
    return detect_drift(
        known, recent, rng.choice(3, 120, p=(0.6, 0.3, 0.1)), rng.choice(3, m, p=mix), CLASSES, config=config, seed=seed
    )


def test_nothing_new_is_no_drift():
    one = found()
    assert one.verdict == "no drift shown"
    assert one.sentence.startswith("No drift shown (60 recent images against 120 known ones; images p")
    assert one.metrics()["watch/drift"] == 0.0
    assert one == found()
    assert Finding.model_validate_json(one.model_dump_json()) == one


def test_other_images_and_another_mix_are_told_apart():
    assert "recent images look different (" in found(shift=1.0).sentence
    assert "recent images are classed in another mix (" in found(mix=(0.1, 0.1, 0.8)).sentence
    both = found(1.0, (0.1, 0.1, 0.8))
    assert "look different and are classed in another mix" in both.sentence
    assert both.verdict == "drift"
    assert both.metrics()["watch/drift"] == 1.0


def test_one_look_errs_at_the_declared_level_at_most():
    wrong = sum(found(seed=i, permutations=99, level=0.1).verdict == "drift" for i in range(200))
    assert stats.binomtest(wrong, 200, 0.1, alternative="greater").pvalue > 0.01


def test_holm_leaves_the_larger_p_alone():
    one = found().model_copy(update={"mmd_p": 0.004, "classes_p": 0.03})
    assert one.adjusted_p_values == {"images": 0.008, "classes": 0.03}
    tied = one.model_copy(update={"mmd_p": 0.02, "classes_p": 0.03})
    assert tied.adjusted_p_values == {"images": 0.04, "classes": 0.04}


def test_few_images_say_nothing():
    for one, words in [
        (found(m=19, shift=9.0), "Too few images to say anything: 19 recent images, at least 20 are needed."),
        (found(m=1), "1 recent image, at least 20"),
        (found(m=0), "0 recent images"),
    ]:
        assert one.verdict == "too few images"
        assert words in one.sentence
        assert "watch/drift" not in one.metrics()
        assert one.adjusted_p_values == {}
        with pytest.raises(ValueError, match="too few"):
            distance_figure(one)
        with pytest.raises(ValueError, match="too few"):
            classes_figure(one)
    config = WatchConfig(minimum=20)
    classes = np.zeros(50, dtype=np.int64)
    few = detect_drift(torch.ones(5, 2), torch.ones(50, 2), classes[:5], classes, CLASSES, config=config, seed=0)
    assert few.sentence == "Too few known images to say anything: 5, at least 10 are needed."


def test_a_large_reference_is_thinned_for_both_tests_alike():
    known = torch.randn(2600, 3, generator=stream(1))
    classes = np.arange(2600) % 3
    config = WatchConfig(minimum=20, permutations=199, looks=1)
    rows = reference_rows(2600, seed=0)
    assert len(set(rows)) == 2000
    assert max(rows) >= 2000
    assert rows == reference_rows(2600, seed=0) != reference_rows(2600, seed=1)
    assert reference_rows(2000, seed=0) == list(range(2000))
    one = detect_drift(known[rows], known[:30] + 5, classes[rows], classes[:30], CLASSES, config=config, seed=0)
    assert (one.reference, one.recent, one.verdict) == (2000, 30, "drift")
    assert [one.shares[name][0] * 2000 for name in CLASSES] == pytest.approx(np.bincount(classes[rows]))
    with pytest.raises(ValueError, match="2600 images, at most 2000"):
        detect_drift(known, known[:30], classes, classes[:30], CLASSES, config=config, seed=0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"minimum": 60, "window": 50}, "larger than the window"),
        ({"looks": 0}, "greater than or equal to 1"),
        ({"level": 0}, "greater than 0"),
        ({"deployment": "retrain"}, "pattern"),
        ({"features": "none"}, "classifier"),
    ],
)
def test_configurations_that_cannot_be(values: dict[str, object], words: str):
    with pytest.raises(ValidationError, match=words):
        WatchConfig.model_validate(values)


@pytest.mark.parametrize("level", [0.0005, 0.001, 0.007, 0.01, 0.2])
@pytest.mark.parametrize("looks", [1, 7, 30])
def test_there_are_relabellings_enough_for_both_tests_to_find_drift(level: float, looks: int):
    config = WatchConfig(level=level, looks=looks, permutations=99)
    smallest_p = 1 / (1 + config.relabellings)
    assert 2 * smallest_p <= config.level_of_a_look == level / looks
    assert WatchConfig(level=level, looks=looks, permutations=100_000).relabellings >= 100_000


def test_looks_share_the_level():
    """A shift that one look of its own would call drift is none where thirty share the level; a larger one is."""
    one, shared = found(0.35), found(0.35, looks=30)
    assert (one.verdict, one.level) == ("drift", 0.05)
    assert (shared.verdict, shared.level) == ("no drift shown", 0.05 / 30)
    assert shared.sentence.endswith("level 0.0017, 0.05 shared by 30 looks).")
    assert found(1.0, looks=30).verdict == "drift"


def test_the_figures_are_drawn():
    one = found(1.0, (0.1, 0.1, 0.8))
    for draw in (distance_figure, classes_figure):
        first = png(draw(one))
        assert first == png(draw(one))
        assert min(Image.open(io.BytesIO(first)).size) > 250
