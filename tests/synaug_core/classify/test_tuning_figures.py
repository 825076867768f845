from __future__ import annotations

from synaug_core.classify.search_space import TrialRow, Tuned
from synaug_core.classify.tuning_figures import history_figure, importance_figure


def _row(number: int, state: str, value: float | None) -> TrialRow:
    return TrialRow(number=number, round=number, state=state, value=value, parameters=Tuned(), curve={})


def test_history_figure(tmp_path):
    rows = [_row(0, "complete", 0.5), _row(1, "pruned", 0.2), _row(2, "complete", 0.7), _row(3, "running", None)]
    axes = history_figure(rows).axes[0]
    labels = {line.get_label(): line for line in axes.lines}
    assert list(labels["completed"].get_ydata()) == [0.5, 0.7]
    assert list(labels["best so far"].get_ydata()) == [0.5, 0.7, 0.7]  # up to the last trial
    assert list(labels["pruned, last score"].get_xdata()) == [1]
    history_figure(rows).savefig(tmp_path / "history.png")
    assert history_figure([]).axes[0].texts[0].get_text() == "no trial has ended"


def test_importance_figure(tmp_path):
    figure = importance_figure({"learning_rate": 0.7, "dropout": 0.3})
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["learning rate", "dropout"]
    figure.savefig(tmp_path / "importance.png")
    assert "too few" in importance_figure({}).axes[0].texts[0].get_text()
