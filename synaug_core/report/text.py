"""The comparison as plain text, for terminals and e-mail."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from synaug_core.evaluate.results import judged_arm, recall_changes, shown_arms
from synaug_core.evaluate.sentence import percent_text, points
from synaug_core.report import sections, terminal, words
from synaug_core.report.answer import WHAT_AN_ARM_IS, Answer, SyntheticCounts

if TYPE_CHECKING:
    from synaug_core.evaluate import contrast, intervals, results
    from synaug_core.probes.base import ReportSection

__all__ = ["comparison_text"]

WIDTH = 100
_ARM, _CLASS, _PAIR = 22, 16, 43
_MOST_NOTES = 40
_NOTE = 1000
"""Characters of a note; a longer one was written by nobody."""
_GLUE = "\N{NO-BREAK SPACE}"
_RULE_BELOW_HEAD = "    \n    \n -- \n    \n    \n    \n    \n    \n"
"""A box of rich's with one line only."""


def comparison_text(
    comparison: results.Comparison,
    *,
    name: str = "",
    probes: Sequence[ReportSection] = (),
    notes: Sequence[str] = (),
    data_notes: Sequence[str] = (),
    image_counts: Mapping[str, SyntheticCounts] | None = None,
    model: str = "",
) -> str:
    """Answer, arms, contrasts, classes, what else was found, limits: lines of at most 100 columns.

    Args:
        comparison: what was found.
        name: the data set's name.
        probes: what each probe of the trained classifiers shows.
        notes: lines that a reader should know of the run.
        data_notes: what the data check saw.
        image_counts: arm -> its synthetic images, planned and passed.
        model: which version was registered, and what the gate said of it.
    """
    answer = Answer.from_comparison(comparison, image_counts)
    head = _wrapped(f"{words.plain(name, 200)}: did synthetic images help?" if name else "Did synthetic images help?")
    parts = [
        [*head, "=" * max(map(words.columns_of, head))],
        _wrapped(comparison.sentence),
        _wrapped(answer.rare),
        _listed("What to do now", answer.advice),
        *(_wrapped(sentence) for sentence in (model, answer.passed) if sentence),
        [line for sentence in sections.basis(comparison) for line in _wrapped(sentence)],
        _arms(comparison),
        _contrasts(comparison),
        _waterfall(comparison),
        _classes(comparison),
    ]
    parts += [_listed(section.heading, section.sentences) for section in probes]
    parts += [_noted("What the data check saw", data_notes), _noted("Notes of the run", notes)]
    parts.append(_listed("Limits of these figures", sections.limits(comparison)))
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _arms(c: results.Comparison) -> list[str]:
    columns, interval_columns = (
        sections.columns(c, "text", lambda name: words.plain(name, 200)),
        sections.columns(c, "forest"),
    )
    rows = []
    for arm, result in c.arms.items():
        values = [_value(result.metrics.get(m), short=m not in interval_columns) for m in columns]
        mark, indent = "*" if arm == c.best_arm else " ", "  "
        rows.append([f"{mark} {words.folded(arm, _ARM, indent)}", *values])
    head = ["arm, in %", *columns.values()]
    controls = ", ".join(words.plain(a) for a, r in c.arms.items() if r.is_control) or "none"
    legend = (
        f"Means over {sections.trainings_name(c)} with their {percent_text(c.confidence)} intervals; "
        f"* best on the validation images. {WHAT_AN_ARM_IS} Controls, which a gain has to beat: {controls}."
    )
    return ["ARMS", *_tables(head, rows), *_wrapped(legend)]


def _contrasts(c: results.Comparison) -> list[str]:
    if not c.contrasts:
        return []
    main = [_contrast_row(d) for d in c.contrasts]
    head = ["comparison", "metric", "points", f"{percent_text(c.confidence)} interval", "p"]
    lines = ["SYNTHETIC IMAGES AGAINST THE CONTROLS", *_table(head, main)]
    if len(c.against_controls) > 1:
        lines += ["", "Against each control; a gain has to be shown over every one:"]
        lines += _table(head, [_contrast_row(d) for d in c.against_controls])
    if len(c.family) > 1:
        lines += ["", "Every synthetic arm against its hardest control, for information; p after Holm:"]
        lines += _table(head, [_contrast_row(d) for d in c.family])
    return [*lines, *_wrapped(f"The verdict rests on the first line. {sections.tests_text(c)}")]


def _waterfall(c: results.Comparison) -> list[str]:
    if not c.waterfall:
        return []
    head = ["step", "metric", "points", f"{percent_text(c.confidence)} interval", "p"]
    rows = [[words.folded(f"{d.against} -> {d.arm}", _PAIR), *_contrast_row(d)[1:]] for d in sections.steps(c)]
    whole = " The last line is the whole way, declared as the second comparison." if c.against_original else ""
    return [
        "STEP BY STEP FROM THE REAL IMAGES AS THEY ARE",
        *_table(head, rows),
        *_wrapped(f"Each arm against the one before it, by the same test.{whole}"),
    ]


def _contrast_row(d: contrast.Contrast) -> list[str]:
    interval = f"{points(d.difference.low)} to {points(d.difference.high)}"
    arms = words.folded(f"{d.arm} - {d.against}", _PAIR)
    return [
        arms,
        words.folded(words.metric_name(d.metric), 22),
        points(d.difference.mean),
        interval,
        words.p_short(d.p_adjusted),
    ]


def _classes(c: results.Comparison) -> list[str]:
    judged_name, arm_names = judged_arm(c), shown_arms(c)
    changes = recall_changes(c, judged_name) if judged_name else {}
    rows = []
    for name in c.by_rarity:
        key = f"class/{c.slug(name)}/recall"
        row = [words.folded(name, _CLASS), str(c.train_counts.get(name, 0)), str(c.test_counts.get(name, 0))]
        row += [_value(c.arms[a].metrics.get(key)) for a in arm_names]
        if judged_name:
            d = changes.get(name)
            row.append(f"{points(d.mean)} [{points(d.low)}, {points(d.high)}]" if d else "-")
        rows.append(row)
    head = [
        "class",
        "train",
        "test",
        *(words.plain(a, 200) for a in arm_names),
        *(["change, points"] if judged_name else []),
    ]
    return ["RECALL OF EACH CLASS, IN %", *_table(head, rows)]


def _value(interval: intervals.Interval | None, *, short: bool = False) -> str:
    if interval is None:
        return "-"
    mean = words.percent(interval.mean)
    return mean if short else f"{mean} [{words.percent(interval.low)}, {words.percent(interval.high)}]"


def _listed(heading: str, lines: Sequence[str]) -> list[str]:
    return [heading.upper(), *(out for line in lines for out in _wrapped(line, "- "))]


def _noted(heading: str, notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    more = [f"... and {len(notes) - _MOST_NOTES} more"] if len(notes) > _MOST_NOTES else []
    return _listed(heading, [*(words.plain(note, _NOTE) for note in notes[:_MOST_NOTES]), *more])


def _tables(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The table; columns that have no room continue below, beside the first column again."""
    columns = len(head)
    while columns > 2 and max(map(words.columns_of, _table(head[:columns], [row[:columns] for row in rows]))) > WIDTH:
        columns -= 1
    lines = _table(head[:columns], [row[:columns] for row in rows])
    if columns == len(head):
        return lines
    continuation = [[row[0], *row[columns:]] for row in rows]
    return [*lines, "", *_tables([head[0], *head[columns:]], continuation)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as what stands in them, headings on two lines where they would be wider than their cells."""
    from rich.box import Box
    from rich.console import Console
    from rich.text import Text

    widths = [max((words.columns_of(row[i]) for row in rows), default=0) for i in range(len(head))]
    least = [max(min(_CLASS, words.columns_of(word)) for word in text.split()) for text in head]
    rooms = zip(head, widths, least, strict=True)
    headings = [words.folded(text, max(9, width, word)) for text, width, word in rooms]
    grid = terminal.new_table(headings, box=Box(_RULE_BELOW_HEAD, ascii=True), show_edge=False, padding=(0, 1, 0, 0))
    for row in rows:
        grid.add_row(*map(Text, row))
    console = Console(width=1000, file=io.StringIO(), color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(grid)
    return [line.rstrip() for line in capture.get().splitlines()]


def _wrapped(text: str, bullet: str = "") -> list[str]:
    """Lines of at most the width."""
    lines = words.wrapped(words.keep_percent_on_line(text), WIDTH - len(bullet))
    return [(" " * len(bullet) if i else bullet) + part.replace(_GLUE, " ") for i, part in enumerate(lines)]
