"""A comparison as Markdown: for MLflow's descriptions, pull requests and cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from synaug_core.evaluate.results import shown_arms
from synaug_core.report import sections, words
from synaug_core.report.answer import WHAT_AN_ARM_IS, Answer, SyntheticCounts

if TYPE_CHECKING:
    from synaug_core.evaluate.intervals import Interval
    from synaug_core.evaluate.results import Comparison

__all__ = ["arms_table", "classes_table", "comparison_markdown", "in_markdown", "table"]

_SPECIAL = "\\`*_{}[]<>|#"


def comparison_markdown(
    comparison: Comparison,
    *,
    name: str = "",
    image_counts: Mapping[str, SyntheticCounts] | None = None,
    model: str = "",
    links: Mapping[str, str] | None = None,
) -> str:
    """The answer, what to do now, the arms, the classes and where to find more.

    Args:
        comparison: what was found.
        name: the data set's name; empty: no heading.
        image_counts: arm -> its synthetic images, planned and passed.
        model: which version was registered, and what the gate said of it.
        links: text -> address.
    """
    answer = Answer.from_comparison(comparison, image_counts)
    parts = [
        f"## {in_markdown(name, 60)}: did synthetic images help?" if name else "",
        f"**{in_markdown(answer.verdict)}** {in_markdown(answer.evidence)}",
        in_markdown(answer.rare),
        "**What to do now**\n\n" + "\n".join(f"- {in_markdown(sentence)}" for sentence in answer.advice),
        in_markdown(model),
        in_markdown(answer.passed),
        arms_table(comparison),
        classes_table(comparison),
        in_markdown(WHAT_AN_ARM_IS),
        "\n".join(f"- [{in_markdown(text)}]({address})" for text, address in (links or {}).items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def arms_table(comparison: Comparison) -> str:
    """Each arm's figures in percent, with intervals."""
    columns = sections.columns(comparison, "page")
    rows = []
    for arm, result in comparison.arms.items():
        name = f"**{in_markdown(arm)}**" if arm == comparison.best_arm else in_markdown(arm)
        rows.append([name, *(_value(result.metrics.get(key), key) for key in columns)])
    return table(["arm, in %", *map(in_markdown, columns.values())], rows)


def classes_table(comparison: Comparison) -> str:
    """Images and recall of each class, the rarest first."""
    arms = shown_arms(comparison)
    rows = []
    for name in comparison.by_rarity:
        key = f"class/{comparison.slug(name)}/recall"
        counts = [words.number(counts[name]) for counts in (comparison.train_counts, comparison.test_counts)]
        rows.append([in_markdown(name), *counts, *(_value(comparison.arms[a].metrics.get(key), key) for a in arms)])
    return table(["class", "training", "test", *(f"recall, {in_markdown(arm)}" for arm in arms)], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts that are Markdown already: the first column to the left, the others to the right."""
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def in_markdown(text: str, limit: int = 2000) -> str:
    """A text of which nothing is read as Markdown or HTML."""
    line = words.plain(text, limit) if text else ""
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in line)


def _value(interval: Interval | None, metric: str) -> str:
    if interval is None:
        return "–"
    return f"{words.figure(interval.mean, metric)} ({words.span(interval, metric)})"
