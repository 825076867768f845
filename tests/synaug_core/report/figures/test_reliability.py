"""Calibration before and after scaling, and operating points, for any number of arms."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.reliability import reliability
from synaug_core.report.figures.reliability import operating_figure, reliability_figure
from synaug_core.report.style import png

pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")


@pytest.fixture(scope="module")
def predictions_of():
    def make(classes, counts, seed=0, skill=2.0):
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
        z = rng.normal(0, 1, (len(labels), len(classes)))
        z[np.arange(len(labels)), labels] += skill
        p = np.exp(z)
        return Predictions(tuple(map(str, range(len(labels)))), labels, p / p.sum(1, keepdims=True), classes)

    return make


@pytest.fixture(scope="module")
def reliabilities(predictions_of):
    """`reliabilities(comparison, validation images of each class)`: one for each arm."""

    def make(comparison, images=20, wanted=0.6, skill=2.0):
        counts, asked = [12] * len(comparison.classes), {"precision": wanted, "confidence": 0.95, "resamples": 40}
        return {
            arm: reliability(
                [predictions_of(comparison.classes, counts, 10 * i + r) for r in range(2)],
                [predictions_of(comparison.classes, [images] * len(counts), 99 + r, skill) for r in range(2)]
                if images
                else [None, None],
                rarest=comparison.rarest_class,
                seed=0,
                **asked,
            )
            for i, arm in enumerate(comparison.arms)
        }

    return make


def _texts(figure):
    return " | ".join(t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text())


def _size(figure):
    return Image.open(io.BytesIO(png(figure, 40))).size


@pytest.mark.parametrize("figure", [operating_figure, reliability_figure])
@pytest.mark.parametrize("arms", [1, 2, 5, 12])
def test_any_number_of_arms_with_hostile_names(comparison_of, reliabilities, figure, arms):
    comparison = comparison_of(4, tuple(f"${i}_arm" for i in range(arms)))
    width, height = _size(figure(comparison, reliabilities(comparison)))
    assert 100 < width < 700
    assert 80 < height < 700


def test_the_diagram_says_what_scaling_did(comparison_of, reliabilities):
    comparison = comparison_of(3, ("control", "combined"))
    of = reliabilities(comparison)
    text = _texts(reliability_figure(comparison, of))
    for arm, r in of.items():
        assert f"Brier score {comparison.arms[arm].metrics['brier'].mean:.3f}" in text
        assert f"scaled, T = {r.temperature:.2f}: {r.after.brier:.3f}" in text
    assert "after temperature scaling" in text
    assert "scal" not in _texts(reliability_figure(comparison))


def test_the_points_are_written_in(comparison_of, reliabilities):
    comparison = comparison_of(3, ("control", "combined"))
    of = reliabilities(comparison)
    text = _texts(operating_figure(comparison, of))
    for r in of.values():
        assert f"{100 * r.point.recall.mean:.1f}" in text
        assert f"{100 * r.point.precision.mean:.1f}" in text
    assert "validation images (20 of the class) for 60 % precision" in text
    assert "chance" not in text
    assert "largely chance" in _texts(operating_figure(comparison, reliabilities(comparison, 5)))


def test_what_was_not_reached_is_said(comparison_of, reliabilities):
    comparison = comparison_of(3, ("control", "combined"))
    text = _texts(operating_figure(comparison, reliabilities(comparison, 0)))
    assert text.count("not reached") >= 4
    of = reliabilities(comparison)
    half = of["control"].point.model_copy(update={"thresholds": (*of["control"].point.thresholds[:1], None)})
    of["control"] = of["control"].model_copy(update={"points": {comparison.rarest_class: half}})
    text = _texts(operating_figure(comparison, of))
    assert text.count("(1 of 2 reached)") == 2
    assert "Hollow" in text


def test_an_arm_without_is_left_out_and_equal_figures_give_equal_bytes(comparison_of, reliabilities):
    comparison = comparison_of(3, ("control", "combined"))
    of = reliabilities(comparison)
    del of["combined"]
    assert "combined" not in _texts(operating_figure(comparison, of))
    assert _size(operating_figure(comparison, {}))[0] > 100
    for figure in (operating_figure, reliability_figure):
        assert png(figure(comparison, of), 40) == png(figure(comparison, of), 40)
