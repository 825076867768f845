"""The retrainings of a sweep side by side."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from synaug_core import frozen, metrics
from synaug_core.evaluate import intervals, results
from synaug_core.evaluate.contrast import Contrast, holm

__all__ = ["RECIPE_METRICS", "SweepCell", "SweepResult", "sweep_result"]

RECIPE_METRICS = ("rarest_recall", "balanced_accuracy", "rarest_auc")
"""What a way of adding images is to raise: how many of the rarest class are found at the arm's own operating point, how
many of all classes, and how well the rarest is told from the others at any."""


class SweepCell(frozen.Frozen):
    """One combination of a sweep and its comparison."""

    labels: dict[str, str]
    """Key -> name of its value."""
    arms: dict[str, dict[str, intervals.Interval]]
    """Arm -> metric -> mean and interval; `rarest_recall` is the recall of the rarest class. Empty where it failed."""
    controls: tuple[str, ...]
    best_control: str | None
    contrast: Contrast | None
    """The primary contrast; its `p_adjusted` is Holm's over the sweep, after that for the choice of the arm, if any."""
    contrasts: dict[str, Contrast] = Field(default_factory=dict)
    """The same arm on each of `RECIPE_METRICS`, against the control that is hardest to beat there; p not adjusted.
    Empty where an earlier version swept."""
    verdict: results.Verdict | None
    level: float = 0.05
    """Of its tests: 1 - `evaluation.confidence`, which a sweep may vary too."""
    sentence: str
    """What was found, or why it failed."""
    classes: int
    rarest_class: str | None
    run_id: str
    page: str | None


class SweepResult(frozen.Frozen):
    """All combinations."""

    varied: tuple[str, ...]
    cells: tuple[SweepCell, ...]

    @property
    def sentence(self) -> str:
        """The sweep in one line: how many combinations show a gain, also after Holm."""
        done = [cell for cell in self.cells if cell.verdict is not None]
        gains = [cell for cell in done if cell.verdict == "gain"]
        failed = len(self.cells) - len(done)
        text = f"{len(gains)} of {len(done)} combinations show a gain over every control"
        if gains:
            still_shown = [c for c in gains if c.contrast is not None and c.contrast.p_adjusted < c.level]
            text += f", {len(still_shown)} of them also after Holm's correction over the sweep"
        return text + (f"; {failed} failed." if failed else ".")


def sweep_result(
    varied: Sequence[str],
    labels: Sequence[Mapping[str, str]],
    outcomes: Sequence[results.Comparison | str],
    runs: Sequence[str],
    pages: Sequence[str | None],
) -> SweepResult:
    """Put the comparisons of a sweep together.

    Args:
        varied: the keys.
        labels: of each combination, key -> name of its value.
        outcomes: of each combination, its comparison, or why it failed.
        runs: of each, its MLflow run ("" where it has none).
        pages: of each, where its own report lies.
    """
    adjusted_p = holm(
        {
            str(n): c.contrasts[0].p_adjusted
            for n, c in enumerate(outcomes)
            if isinstance(c, results.Comparison) and c.contrasts
        }
    )
    cells = []
    for n, (cell_labels, outcome, run, page) in enumerate(zip(labels, outcomes, runs, pages, strict=True)):
        if isinstance(outcome, str):
            cells.append(_failed(cell_labels, outcome, run))
            continue
        first = (
            outcome.contrasts[0].model_copy(update={"p_adjusted": adjusted_p[str(n)]}) if outcome.contrasts else None
        )
        cells.append(
            SweepCell(
                labels=dict(cell_labels),
                arms={
                    arm: {
                        m.name: result.metrics[key]
                        for m in metrics.METRICS.values()
                        if (key := outcome.key_of(m)) in result.metrics
                    }
                    for arm, result in outcome.arms.items()
                },
                controls=tuple(arm for arm, result in outcome.arms.items() if result.is_control),
                best_control=outcome.best_control,
                contrast=first,
                contrasts={c.metric: c for c in outcome.contrasts if c.metric in RECIPE_METRICS},
                verdict=outcome.verdict,
                level=1 - outcome.confidence,
                sentence=outcome.sentence,
                classes=len(outcome.classes),
                rarest_class=outcome.rarest_class,
                run_id=run,
                page=page,
            )
        )
    return SweepResult(varied=tuple(varied), cells=tuple(cells))


def _failed(labels: Mapping[str, str], why: str, run: str) -> SweepCell:
    return SweepCell(
        labels=dict(labels),
        arms={},
        controls=(),
        best_control=None,
        contrast=None,
        verdict=None,
        sentence=why,
        classes=0,
        rarest_class=None,
        run_id=run,
        page=None,
    )
