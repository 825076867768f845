"""The final table, for terminals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synaug_core.evaluate.sentence import percent_text, points
from synaug_core.report import answer, sections, words

if TYPE_CHECKING:
    from rich.box import Box
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

    from synaug_core.evaluate.results import Comparison
    from synaug_core.evaluate.sweep import SweepResult

__all__ = ["new_table", "recipe_table", "sweep_table", "table"]


def table(comparison: Comparison, *, sentence: bool = True) -> RenderableType:
    """Arms by metric in percent, means above their intervals, the rarest class first, and what it means.

    A narrow terminal gets fewer columns, never broken ones.
    """
    return _Table(comparison, sentence)


def sweep_table(sweep: SweepResult) -> Table:
    """A line for each combination: its declared synthetic arm, or else its best one, against its hardest control."""
    from rich.text import Text

    keys = [words.plain(key, 30) for key in sweep.varied]
    left = (*range(len(keys) + 1), len(keys) + 4)
    grid = new_table([*keys, "comparison", "points", "p", "p, Holm", "verdict"], left=left, no_wrap=False)
    for cell in sweep.cells:
        labels = [Text(words.plain(cell.labels[key], 30)) for key in sweep.varied]
        if (c := cell.contrast) is None:
            reason = (
                "no synthetic arm beside a control" if cell.verdict else f"failed: {words.plain(cell.sentence, 60)}"
            )
            grid.add_row(*labels, Text(reason), "", "", "", "")
            continue
        contrast = Text(f"{words.plain(c.arm)} − {words.plain(c.against)}")
        p, adjusted_p = words.p_short(c.p_value), words.p_short(c.p_adjusted)
        grid.add_row(*labels, contrast, points(c.difference.mean), p, adjusted_p, Text(cell.verdict or ""))
    return grid


def recipe_table(sweep: SweepResult) -> Table | None:
    """A line for each combination: its judged arm less the hardest control, in points with the interval, on each metric
    that a way of adding images is to raise. None where no combination has a contrast."""
    from rich.text import Text

    from synaug_core.evaluate.sweep import RECIPE_METRICS

    cells = [cell for cell in sweep.cells if cell.contrasts]
    if not cells:
        return None
    keys = [words.plain(key, 30) for key in sweep.varied]
    titles = [words.metric_name(name) for name in RECIPE_METRICS]
    grid = new_table([*keys, *titles], left=range(len(keys)), no_wrap=False)
    for cell in cells:
        labels = [Text(words.plain(cell.labels[key], 30)) for key in sweep.varied]
        differences = [cell.contrasts[name].difference if name in cell.contrasts else None for name in RECIPE_METRICS]
        texts = [f"{points(d.mean)} [{points(d.low)}, {points(d.high)}]" if d else "" for d in differences]
        grid.add_row(*labels, *map(Text, texts))
    return grid


def new_table(
    headings: Sequence[str],
    *,
    left: Collection[int] = (0,),
    no_wrap: bool = True,
    box: Box | None = None,
    **options: Any,
) -> Table:
    """An empty table with a line below its headings: the columns `left` hold words, the others figures to the right.

    `box` and `options` are rich's; nothing in a heading is read as markup.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box or SIMPLE_HEAD, pad_edge=False, header_style="bold", **options)
    for i, heading in enumerate(headings):
        table.add_column(Text(heading), justify="left" if i in left else "right", no_wrap=no_wrap)
    return table


@dataclass(frozen=True)
class _Table:
    comparison: Comparison
    sentence: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        names = columns = _columns(self.comparison)
        grid = _grid(self.comparison, names)
        while (
            len(names) > 1
            and console.measure(grid, options=options.update(max_width=10_000)).maximum > options.max_width
        ):
            names = dict(list(names.items())[:-1])
            grid = _grid(self.comparison, names)
        yield grid
        yield Text(_legend(self.comparison), style="dim")
        if hidden := [heading.replace("\n", " ") for name, heading in columns.items() if name not in names]:
            yield Text(f"A wider terminal shows {', '.join(hidden)} too.", style="dim")
        if self.sentence:
            yield Text("")
            yield Text(self.comparison.sentence, style="bold")


def _grid(comparison: Comparison, names: dict[str, str]) -> Table:
    from rich.text import Text

    grid = new_table(["arm", *names.values()])
    best_values = sections.find_best_values(comparison, "terminal")
    for arm, result in comparison.arms.items():
        is_best = arm == comparison.best_arm
        cells = [Text(f"{'▸' if is_best else ' '} {words.folded(arm, 28, '  ')}", style="bold" if is_best else "")]
        for metric in names:
            value = result.metrics.get(metric)
            if value is None:
                cells.append(Text("–", style="dim"))
                continue
            top = arm == best_values[metric]
            cell = Text(words.percent(value.mean) + ("*" if top else " "), style="bold" if top else "")
            cells.append(cell.append(f"\n{words.span(value).replace(' ', '')} ", style="not bold dim"))
        grid.add_row(*cells)
    return grid


def _columns(comparison: Comparison) -> dict[str, str]:
    """Key -> heading on two lines."""
    headings = sections.columns(comparison, "terminal", lambda name: words.folded(name, 16))
    return {
        key: heading.replace(" of ", " of\n", 1) if " of " in heading else heading.replace(" ", "\n", 1)
        for key, heading in headings.items()
    }


def _legend(comparison: Comparison) -> str:
    rare = comparison.rarest_class
    n = sum(comparison.test_counts.values())
    return (
        f"In percent: mean over {_trainings(comparison)}, and the {percent_text(comparison.confidence)} interval; "
        f"{n} test images, {comparison.test_counts[rare]} of them {words.plain(rare)} "
        f"({comparison.train_counts.get(rare, 0)} in training).\n"
        f"▸ best arm on the validation images   * best of its column, alone\n{answer.WHAT_AN_ARM_IS}"
    )


def _trainings(comparison: Comparison) -> str:
    """`6 repetitions`, `5 folds`, `5 folds × 2 repetitions`; counted one by one where not every fold was trained."""
    counts = {r.repetitions for r in comparison.arms.values()}
    fewest, most = min(counts), max(counts)
    folds = comparison.folds
    if folds and fewest == most and most > folds and most % folds == 0:
        return f"{folds} folds × {most // folds} repetitions"
    name = sections.trainings_name(comparison)
    return f"{fewest} to {most} {name}" if fewest < most else f"{most} {name if most != 1 else name.removesuffix('s')}"
