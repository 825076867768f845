"""Every figure is drawn for 2, 5 and 37 classes; the pixels are looked at by people."""

import io
import threading

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from synaug_core.classify.trained import Evaluation, History
from synaug_core.evaluate.sentence import points
from synaug_core.generators.fit_report import CurvePoint, FitReport
from synaug_core.report.dataset import counts_figure
from synaug_core.report.figures import comparison as comparison_figures
from synaug_core.report.figures.comparison import (
    arm_confusion_png,
    confusion_figure,
    forest_figure,
    recall_figure,
    waterfall_figure,
)
from synaug_core.report.figures.reliability import reliability_figure
from synaug_core.report.figures.training import fit_figure, history_figure
from synaug_core.report.style import arm_styles, line_colours, png

pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")

OF_COMPARISON = {
    "confusion": lambda c: confusion_figure(next(iter(c.arms.values())).confusion, c.classes),
    "forest": forest_figure,
    "recall": recall_figure,
    "reliability": reliability_figure,
}


def _texts(figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def _size(data):
    return Image.open(io.BytesIO(data)).size


@pytest.mark.parametrize("classes", [2, 5, 37])
@pytest.mark.parametrize("name", OF_COMPARISON)
def test_figures_of_a_comparison(comparison_of, name, classes):
    figure = OF_COMPARISON[name](comparison_of(classes))
    width, height = _size(png(figure, 50))
    assert 100 < width < 1200
    assert 60 < height < 1200


@pytest.mark.parametrize("arms", [("original",), ("combined",), tuple(f"arm-{i}" for i in range(11))])
@pytest.mark.parametrize("name", OF_COMPARISON)
def test_any_number_of_arms(comparison_of, name, arms):
    assert _size(png(OF_COMPARISON[name](comparison_of(2, arms)), 40))[0] > 80


def test_confusion_shows_shares_of_the_row_and_counts():
    texts = _texts(confusion_figure([[3, 1], [0, 0]], ["a", "b"]))
    assert "75 %\n3" in texts
    assert "25 %\n1" in texts
    assert {"a (4)", "b (0)"} <= set(texts)


def test_a_matrix_is_drawn_once(comparison_of, monkeypatch):
    c = comparison_of(3, reps=3)
    drawn = []
    monkeypatch.setattr(comparison_figures.style, "png", lambda figure: drawn.append(_texts(figure)) or b"png")
    assert arm_confusion_png(c, "combined") == arm_confusion_png(c, "combined") == b"png"
    comparison_figures._confusion_png.cache_clear()
    assert len(drawn) == 1
    assert "Confusion matrix of combined, 3 repetitions summed" in drawn[0]


def test_the_waterfall_shows_each_step(comparison_of):
    c = comparison_of(3, ("original", "control", "combined"))
    texts = _texts(waterfall_figure(c))
    for step in c.waterfall:
        d = step.difference
        assert f"{points(d.mean)}\n[{points(d.low)}, {points(d.high)}]" in texts
    assert {"original", "control", "combined", "balanced accuracy, %"} <= set(texts)
    assert 200 < _size(png(waterfall_figure(c), 50))[0] < 1200


def test_confusion_of_many_classes_shows_the_confused_ones_and_keeps_every_count():
    matrix = np.diag(np.full(300, 5))
    matrix[7, 250], matrix[123, 7] = 3, 2
    figure = confusion_figure(matrix.tolist(), [f"class {i}" for i in range(300)])
    texts = _texts(figure)
    assert {"class 7 (8)", "class 123 (7)", "class 250 (5)", "261 others (1305)"} <= set(texts)
    shown = figure.axes[0].texts
    assert sum(int(t.get_text()) for t in shown) == matrix.sum()


def test_forest_shows_what_it_is_asked_for(comparison_of):
    c = comparison_of(5)
    texts = _texts(forest_figure(c, ["macro_f1"]))
    assert "macro-F1, %" in texts
    assert f"{100 * c.arms['control'].metrics['macro_f1'].mean:.1f}" in texts
    assert "difference from hardest control" in texts


def _report(name, points=12, held_out=True, **more):
    curves = tuple(
        CurvePoint(
            step=25 * i,
            beta=1,
            loss=500 / i,
            reconstruction=400 / i,
            kl=float(i),
            held_out_loss=600 / i if held_out else None,
            variance=0.1,
        )
        for i in range(1, points + 1)
    )
    facts = {"images": 9, "held_out": 1, "steps": 25 * points, "best_step": 100, "status": "finished", "curves": curves}
    return FitReport(class_name=name, **(facts | {"latent_dim": 8, "active_units": 5} | more))


@pytest.mark.parametrize("classes", [1, 5, 37])
def test_fit_figure(classes, hostile):
    names = (hostile + tuple(f"class {i}" for i in range(classes)))[:classes]
    assert _size(png(fit_figure({n: _report(n) for n in names}), 50))[0] > 400


def test_fit_figure_names_what_went_wrong():
    reports = {
        "fine": _report("fine"),
        "gone": _report("gone", active_units=0),
        "lost": _report("lost", status="diverged"),
        "short": _report("short", points=0, held_out=False),
    }
    texts = _texts(fit_figure(reports))
    assert "0 collapsed" in texts
    assert "5 diverged" in texts
    assert "none held out" in _texts(fit_figure({"a": _report("a", held_out=False)}))


def test_fit_figure_of_other_losses():
    curve = ((10, 1.0), (20, 0.5))
    facts = {"images": 9, "held_out": 0, "steps": 20, "best_step": 20, "status": "finished"}
    reports = {
        "a": FitReport(class_name="a", losses={"g_loss": curve, "own": curve}, measures={"diversity": 0.9}, **facts),
        "b": FitReport(class_name="b", losses={"g_loss": curve}, measures={"diversity": 0.2}, notes=("!",), **facts),
    }
    figure = fit_figure(reports)
    texts = _texts(figure)
    assert {"g loss", "own", "diversity", "0.9", "0.2  see the notes", "a (9)"} <= set(texts)
    shared = next(axes for axes in figure.axes if axes.get_title(loc="left") == "g loss")
    assert len(shared.lines) == 1
    assert _size(png(figure, 50))[0] > 200
    only = {"a": FitReport(class_name="a", losses={"loss": curve[:1]}, **facts)}
    assert {"images", "9"} <= set(_texts(fit_figure(only)))


def _history(val=True):
    evaluations = tuple(
        Evaluation(
            step=s, train_loss=1 / s, val_loss=2 / s if val else None, val_balanced_accuracy=0.5 if val else None
        )
        for s in (25, 50, 75)
    )
    return History(evaluations=evaluations, best_step=50, stopped_at=75, ended="all steps")


def test_history_figure():
    assert _size(png(history_figure({f"run {i}": _history() for i in range(12)}), 50))[0] > 400
    assert _texts(history_figure({"one": _history(val=False)})).count("no validation images") == 2


def test_counts_figure():
    figure = counts_figure({"train": {"a": 1200, "b": 0}, "val": {"a": 1}, "test": {}})
    texts = _texts(figure)
    assert "training: 1\u2009200" in texts
    assert texts.count("0") == 4
    assert _size(png(figure, 50))[0] > 200


def test_equal_figures_give_equal_bytes_and_no_global_state_changes(comparison_of):
    before = dict(mpl.rcParams)
    c = comparison_of(5)
    assert png(forest_figure(c), 50) == png(forest_figure(c), 50)
    assert dict(mpl.rcParams) == before


def test_threads_draw_side_by_side(comparison_of):
    c = comparison_of(5)
    alone = png(recall_figure(c), 50)
    drawn = []
    threads = [threading.Thread(target=lambda: drawn.append(png(recall_figure(c), 50))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert drawn == [alone] * 4


def test_arms_and_lines_can_be_told_apart(comparison_of):
    styles = arm_styles(comparison_of(2, tuple(f"arm-{i}" for i in range(12))))
    assert len(set(styles.values())) == 12
    for n in (1, 8, 9, 37):
        colours = line_colours([str(i) for i in range(n)])
        assert len(set(colours.values())) == len(colours) == n


def test_shares_of_an_empty_row_are_0():
    figure = confusion_figure(np.zeros((3, 3), int).tolist(), ["a", "b", "c"], "nothing")
    assert _size(png(figure, 40))[0] > 50
