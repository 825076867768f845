"""The robustness curves are drawn for one and many arms, panels and trainings."""

from __future__ import annotations

import io

import matplotlib as mpl
import pytest
from PIL import Image

from synaug_core.probes.robustness.curves import ArmRobustness, Curve, Point, Robustness, mean_curves
from synaug_core.probes.robustness.probe import robustness_figure
from synaug_core.report.style import arm_styles, png

PERTURBATIONS = ("flip", "rotation", "brightness", "contrast", "noise", "blur", "crop")
ATTACKS = ("fgsm", "pgd", "lowering")


@pytest.fixture
def falling():
    """An arm whose curves fall, each at its own pace, over some trainings."""

    def make(pace: float, trainings: int = 2, names: tuple[str, ...] = PERTURBATIONS + ATTACKS[:2]) -> ArmRobustness:
        found = []
        for training in range(trainings):

            def at(strength: float, i: int, k: int, training: int = training) -> Point:
                share = max(0.0, 0.9 - 0.02 * training - pace * (0.6 + 0.15 * k) * i / 5)
                return Point(strength=strength, accuracy=share, balanced_accuracy=share)

            curves = []
            for k, name in enumerate(names):
                kind = "attack" if name in ATTACKS else "perturbation"
                strengths = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0) if kind == "attack" else tuple(map(float, range(6)))
                points = tuple(at(s, i, k) for i, s in enumerate(strengths))
                curves.append(Curve(name=name, kind=kind, points=points))
            found.append(Robustness(clean=at(0, 0, 0), curves=tuple(curves), images=10, classes={"a": 5, "b": 5}))
        return mean_curves(found)

    return make


def _panels(figure):
    return [a for a in figure.axes if a.get_visible()]


@pytest.mark.parametrize("arms", [("original",), ("original", "combined"), tuple(f"arm-{i}" for i in range(8))])
def test_a_line_for_each_arm_in_every_panel(comparison_of, falling, arms):
    comparison = comparison_of(2, arms)
    figure = robustness_figure({arm: falling(0.1 + 0.08 * i) for i, arm in enumerate(arms)}, comparison)
    width, height = Image.open(io.BytesIO(png(figure, 50))).size
    assert 150 < width < 800
    assert 150 < height < 800
    panels = _panels(figure)
    assert len(panels) == 9
    styles = arm_styles(comparison)
    for axes in panels:
        lines = [line for line in axes.lines if line.get_label() in arms]
        assert [line.get_color() for line in lines] == [styles[arm][0] for arm in arms]
        assert len(axes.collections) == len(arms)  # a band each


@pytest.mark.parametrize("panels", [1, 2, 5, 10])
def test_any_number_of_panels(comparison_of, falling, panels):
    names = (PERTURBATIONS + ATTACKS)[-panels:]
    figure = robustness_figure({"original": falling(0.3, 1, names)}, comparison_of(2, ("original",)))
    png(figure, 40)
    assert len(_panels(figure)) == panels
    assert not any(axes.collections for axes in _panels(figure))  # one training has no band


def test_the_axes_say_what_they_are(comparison_of, falling):
    figure = robustness_figure({"original": falling(0.3)}, comparison_of(2, ("original",)))
    texts = [t.get_text() for t in figure.findobj(mpl.text.Text)]
    assert {
        "severity",
        "largest change of a pixel, 255ths",
        "balanced accuracy, %",
        "attack: PGD",
        "0.5",
        "original",
    } <= set(texts)


def test_nothing_to_draw_is_said(comparison_of):
    with pytest.raises(ValueError, match="no curve"):
        robustness_figure({}, comparison_of(2))
