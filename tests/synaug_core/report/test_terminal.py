import pytest
from rich.console import Console

from synaug_core.report.terminal import table


def _print(renderable, width, colour=None):
    console = Console(width=width, record=True, force_terminal=colour is not None, color_system=colour)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_no_line_is_longer_than_the_terminal(comparison_of, width):
    lines = _print(table(comparison_of(5, ("original", "control", "combined"))), width).splitlines()
    assert max(map(len, lines)) <= width
    assert not any(line.rstrip().endswith("…") for line in lines if "(" not in line)


def test_a_narrow_terminal_says_what_it_has_no_room_for(comparison_of):
    c = comparison_of(5)
    narrow = " ".join(_print(table(c), 40).split())
    assert "A wider terminal shows " in narrow
    assert "accuracy too." in narrow
    assert "A wider terminal" not in _print(table(c), 140)


def test_80_columns_hold_the_standard_arms(comparison_of):
    arms = ("original", "balanced", "traditional", "control", "synthetic", "combined")
    text = _print(table(comparison_of(2, arms)), 80)
    for heading in ("recall of", "balanced", "macro-AUC", "macro-F1", "accuracy"):
        assert heading in text
    assert all(arm in text for arm in arms)


def test_what_the_table_says(comparison_of):
    c = comparison_of(5)
    text = _print(table(c), 120)
    head = text.splitlines()[1] + text.splitlines()[2]
    assert head.index("recall of") < head.index("balanced")
    assert f"▸ {c.best_arm}" in text
    mean = max(r.metrics["balanced_accuracy"].mean for r in c.arms.values())
    assert f"{100 * mean:.1f}*" in text
    assert " ".join(c.sentence.split()) in " ".join(text.split())
    assert c.sentence not in _print(table(c, sentence=False), 400)


def test_class_names_do_nothing_to_the_terminal(comparison_of):
    c = comparison_of(3)
    hostile = c.model_copy(update={"rarest_class": c.classes[2]})
    text = _print(table(hostile), 100)
    assert "\x1b" not in text
    assert "[red]" in text


def test_a_missing_figure_is_a_dash(comparison_of):
    c = comparison_of(5)
    absent = c.model_copy(update={"rarest_class": c.classes[-1]})
    assert "–" in _print(table(absent), 100)


def test_folds_are_called_folds(judged):
    skills = {"control": 1.0, "combined": 2.0}
    legend = " ".join(_print(table(judged(skills, ("control",), reps=2, folds=3)), 120).split())
    assert "mean over 3 folds × 2 repetitions," in legend
    once = " ".join(_print(table(judged(skills, ("control",), reps=1, folds=3)), 120).split())
    assert "mean over 3 folds," in once
    assert "mean over 6 repetitions," in " ".join(_print(table(judged(skills, ("control",))), 120).split())
    assert "mean over 1 repetition," in " ".join(_print(table(judged(skills, ("control",), reps=1)), 120).split())
