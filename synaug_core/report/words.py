"""Names and numbers as people read them. Class names come from folders: nothing in them is trusted."""

import unicodedata
from collections.abc import Iterator

from synaug_core.evaluate import intervals, sentence
from synaug_core.metrics import METRICS

__all__ = [
    "SPLIT_NAMES",
    "columns_of",
    "figure",
    "folded",
    "in_figure",
    "keep_percent_on_line",
    "metric_name",
    "number",
    "p_short",
    "percent",
    "plain",
    "span",
    "wrapped",
]

_LONGEST = 200
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def metric_name(metric: str) -> str:
    """What a metric is called in print."""
    return METRICS[metric].title if metric in METRICS else metric.replace("_", " ")


def plain(text: str, limit: int = 28) -> str:
    """One printable line of at most `limit` characters: no control characters, no runs of spaces."""
    printable = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    line = " ".join(printable.split()) or "(no name)"
    return line if len(line) <= limit else line[: limit - 1] + "…"


def wrapped(text: str, room: int) -> list[str]:
    """Lines of at most `room` columns, broken between words, and within one only where it is longer; letters that take
    two columns count as two."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        for piece in _pieces(word, room):
            if line and columns_of(line) + 1 + columns_of(piece) > room:
                lines.append(line)
                line = piece
            else:
                line = f"{line} {piece}" if line else piece
    return [*lines, line]


def folded(name: str, room: int, indent: str = "") -> str:
    """A name in a cell of a table of text: on several lines where it is longer than `room` columns, never cut."""
    return f"\n{indent}".join(wrapped(plain(name, _LONGEST), room))


def columns_of(text: str) -> int:
    """Columns in a terminal of the widest line; some scripts take two for a letter."""
    from rich.cells import cell_len

    return max(map(cell_len, text.split("\n")))


def _pieces(word: str, room: int) -> Iterator[str]:
    from rich.cells import chop_cells

    yield from chop_cells(word, room) if columns_of(word) > room else [word]


def in_figure(text: str, limit: int = 24) -> str:
    """The same for matplotlib, which would set text between dollar signs as mathematics."""
    return plain(text, limit).replace("$", r"\$")


def keep_percent_on_line(text: str) -> str:
    """A number and its percent sign stay on one line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def percent(share: float) -> str:
    """A share in percent with one decimal and no sign: `71.2`."""
    return f"{100 * share:.1f}"


def figure(value: float, metric: str) -> str:
    """A metric's value as its tables show it: a share in percent, others with three decimals."""
    return percent(value) if metric not in METRICS or METRICS[metric].in_percent else f"{value:.3f}"


def p_short(p: float) -> str:
    """A p-value below a heading that says p: `.62`, `< .001`, `1`."""
    return sentence.p_text(p).removeprefix("p ").removeprefix("= ")


def span(interval: intervals.Interval, metric: str = "") -> str:
    """The bounds, in percent: `68.0 – 74.3`, unless the metric is no share."""
    return f"{figure(interval.low, metric)} – {figure(interval.high, metric)}"


def number(value: float) -> str:
    """A count with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u2009")
