"""The catalogue of metrics, and that one more entry is enough to be shown everywhere."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from typing import get_args

import numpy as np
import pytest
from rich.console import Console

from synaug_core.config import EvaluationConfig
from synaug_core.evaluate.comparison import compare
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.results import Comparison
from synaug_core.evaluate.scorer import ENDPOINTS, Scorer
from synaug_core.evaluate.sweep import sweep_result
from synaug_core.evaluate.variance import measure_shares
from synaug_core.metrics import METRICS, ROBUST, Endpoint, Metric, Place, shown_in
from synaug_core.report.figures.comparison import forest_figure
from synaug_core.report.page import comparison_page
from synaug_core.report.sweep import sweep_page
from synaug_core.report.terminal import table
from synaug_core.report.text import comparison_text


def _comparison() -> Comparison:
    rng = np.random.default_rng(3)
    labels = np.arange(30, dtype=np.int64) % 3

    def one() -> Predictions:
        p = rng.dirichlet((1, 1, 1), 30)
        return Predictions(tuple(map(str, range(30))), labels, p, ("rare", "middle", "common"))

    arms = ("control", "synthetic")
    shares = {arm: measure_shares(labels, [rng.random(30), rng.random(30)]) for arm in arms}
    return compare(
        {arm: [one(), one()] for arm in arms},
        {"control": [0.5], "synthetic": [0.6]},
        controls=["control"],
        train_counts={"rare": 3, "middle": 9, "common": 27},
        config=EvaluationConfig(resamples=20),
        seed=0,
        validated={arm: [one(), one()] for arm in arms},
        attacked=shares,
    )


def test_each_entry_is_computed_and_within_its_bounds() -> None:
    comparison = _comparison()
    for metric in METRICS.values():
        for result in comparison.arms.values():
            interval = result.metrics[comparison.key_of(metric)]
            assert metric.bounds[0] <= interval.low <= interval.mean <= interval.high <= metric.bounds[1]


def test_what_may_decide_is_what_the_configuration_takes() -> None:
    assert get_args(Endpoint) == (*ENDPOINTS, ROBUST)
    assert get_args(Endpoint)[:2] == ("balanced_accuracy", "macro_auc")
    with pytest.raises(ValueError, match=r"balanced_accuracy.*macro_auc"):
        EvaluationConfig(primary={"metric": "ece"})


def test_one_more_entry_is_shown_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def lift(scorer: Scorer, weights: np.ndarray) -> np.ndarray:
        return 2 * scorer.balanced_accuracy(weights) - 1

    entry = Metric("lift", "mylift", places=get_args(Place), bounds=(-1.0, 1.0))
    monkeypatch.setitem(METRICS, "lift", entry)
    monkeypatch.setattr(Scorer, "lift", lift, raising=False)
    assert all(shown_in(place)[-1] is entry for place in get_args(Place))
    comparison = _comparison()
    assert {"test/lift", "test/lift/low", "test/lift/high"} <= set(comparison.flat_metrics("control"))
    console = Console(width=200, file=StringIO(), record=True)
    console.print(table(comparison))
    assert "mylift" in console.export_text()
    assert "mylift" in comparison_text(comparison)
    assert ">mylift</th>" in comparison_page(comparison)
    assert any("mylift" in axes.get_title(loc="left") for axes in forest_figure(comparison).axes)
    sweep = sweep_result(["seed"], [{"seed": "0"}], [comparison], ["run"], [None])
    assert "mylift" in sweep_page(sweep)


def test_the_catalogue_loads_no_library() -> None:
    code = "import sys, synaug_core.metrics; print(sorted({'numpy', 'torch', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
