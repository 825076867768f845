from __future__ import annotations

import itertools

import pytest
from rich.console import Console

from synaug_core.evaluate.contrast import Contrast
from synaug_core.evaluate.intervals import Interval
from synaug_core.evaluate.sweep import SweepCell, SweepResult
from synaug_core.report.style import png
from synaug_core.report.sweep import along, sweep_figure, sweep_page
from synaug_core.report.terminal import recipe_table


def around(mean: float) -> Interval:
    return Interval(mean=mean, low=mean - 0.04, high=min(1.0, mean + 0.05))


def cell(labels: dict[str, str], level: float, failed: bool = False) -> SweepCell:
    metrics = {m: around(level) for m in ("balanced_accuracy", "macro_auc", "rarest_recall")}
    better = {m: around(level + 0.05) for m in metrics}
    contrast = Contrast(
        arm="combined",
        against="control",
        metric="balanced_accuracy",
        difference=around(0.05),
        p_value=0.03125,
        p_adjusted=0.125,
        repetitions=6,
    )
    return SweepCell(
        labels=labels,
        arms={} if failed else {"control": metrics, "combined": better},
        controls=("control",),
        best_control="control",
        contrast=None if failed else contrast,
        contrasts={}
        if failed
        else {m: contrast.model_copy(update={"metric": m}) for m in ("rarest_recall", "balanced_accuracy")},
        verdict=None if failed else "gain",
        sentence="only <b>one</b> class" if failed else "Gain shown.",
        classes=3,
        rarest_class="rare",
        run_id="r",
        page=None if failed else "/there/page.html",
    )


def swept(**values: list[str]) -> SweepResult:
    combinations = list(itertools.product(*values.values()))
    cells = tuple(
        cell(dict(zip(values, one, strict=True)), 0.4 + 0.05 * n, failed=n == len(combinations) - 1)
        for n, one in enumerate(combinations)
    )
    return SweepResult(varied=tuple(values), cells=cells)


def test_numbers_lie_along_the_axis():
    assert along(swept(**{"data.classes": ["a", "b", "c"], "data.per_class": ["5", "10"]})) == "data.per_class"
    assert along(swept(a=["x", "y"], b=["x", "y", "z"])) == "b"


@pytest.mark.parametrize(
    "values",
    [
        {"data.per_class": ["5", "10", "20"]},
        {"data.per_class": ["5", "10", "20"], "generator.kind": ["vae", "gan"]},
        {"generator.kind": ["vae", "gan"], "classifier.backbone": ["small_cnn", "resnet18"]},
    ],
)
def test_a_figure_of_any_shape(values):
    figure = sweep_figure(swept(**values), "balanced_accuracy")
    seen = [axes for axes in figure.axes if axes.get_visible()]
    key = along(swept(**values))
    assert len(seen) == len(list(itertools.product(*(v for k, v in values.items() if k != key))))
    assert png(figure)[:4] == b"\x89PNG"


def test_the_page_holds_everything_and_trusts_nothing():
    page = sweep_page(swept(seed=["1", "<script>"]), name="wbc", config={"seed": 1})
    assert "1 of 1 combinations show a gain" in page
    assert "only &lt;b&gt;one&lt;/b&gt; class" in page
    assert "<script>" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "/there/page.html" in page


def test_recipes_stand_side_by_side_with_their_intervals():
    swept_recipes = swept(recipes=["paste", "transfer", "broken"])
    page = sweep_page(swept_recipes)
    assert "Judged arm less hardest control" in page
    assert page.count('<td colspan="3">undefined</td>') == 2  # the AUC was not measured here
    console = Console(width=200)
    with console.capture() as capture:
        console.print(recipe_table(swept_recipes))
    [heading, _, paste, transfer] = [line for line in capture.get().splitlines() if line.strip()]
    assert "recall of the rarest class" in heading
    assert paste.split()[0] == "paste"
    assert paste.count("[") == transfer.count("[") == 2
    without = SweepResult(
        varied=("a",), cells=tuple(c.model_copy(update={"contrasts": {}}) for c in swept(a=["1", "2"]).cells)
    )
    assert recipe_table(without) is None
    assert "Judged arm less" not in sweep_page(without)
