"""What of the data set was left out, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from synaug_core.report.words import number, plain

__all__ = ["left_out", "reasons", "refused"]

_NAMED = 5


def left_out(dataset: Mapping[str, Any] | None) -> str:
    """How many files and images, in one sentence; empty where there are none."""
    files, images = (len((dataset or {}).get(key, ())) for key in ("rejected", "removed"))
    parts = [f"{number(files)} file{'s' * (files != 1)} that could not be used"] if files else []
    parts += [f"{number(images)} readable image{'s' * (images != 1)}"] if images else []
    return f"Left out: {' and '.join(parts)}." if parts else ""


def refused(dataset: Mapping[str, Any] | None) -> list[str]:
    """The first few files that could not be used, each with its reason, and where the rest stand."""
    files = (dataset or {}).get("rejected", ())
    named = [f"{plain(file['path'], 160)}: {plain(file['reason'], 200)}" for file in files[:_NAMED]]
    if more := len(files) - len(named):
        named.append(f"and {number(more)} more; dataset.html in the data set's MLflow run lists them")
    return named


def reasons(dataset: Mapping[str, Any] | None) -> dict[str, int]:
    """Reason -> number of readable images left out for it."""
    return dict(Counter(removed["reason"] for removed in (dataset or {}).get("removed", ())).most_common())
