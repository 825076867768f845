"""Counters of the service in Prometheus' text format."""

from __future__ import annotations

import bisect
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence

__all__ = ["Metrics"]

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the latency histogram, seconds."""

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counts requests and images. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[Labels, int] = defaultdict(int)
        self._predicted: dict[Labels, int] = defaultdict(int)
        self._buckets = [0] * (len(_BUCKETS) + 1)
        self._seconds = 0.0
        self._images = 0
        self._errors = 0

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; those to /predict enter the histogram."""
        with self._lock:
            self._requests[(("path", path), ("status", str(status)))] += 1
            self._errors += status >= 400
            if path == "/predict":
                self._buckets[bisect.bisect_left(_BUCKETS, seconds)] += 1
                self._seconds += seconds

    def images(self, classes: Sequence[str]) -> None:
        """Count classified images by their class."""
        with self._lock:
            self._images += len(classes)
            for name in classes:
                self._predicted[(("class", name),)] += 1

    def text(self, values: Mapping[str, tuple[str, str, Mapping[Labels, float]]]) -> str:
        """All of it.

        Args:
            values: further metrics: name -> kind, help, and a value for each set of labels.
        """
        with self._lock:
            lines = _metric("synaug_requests_total", "counter", "Requests.", self._requests)
            lines += _metric("synaug_errors_total", "counter", "Requests answered with 4xx or 5xx.", {(): self._errors})
            lines += _metric("synaug_images_total", "counter", "Images classified.", {(): self._images})
            lines += _metric("synaug_predicted_total", "counter", "Images by predicted class.", self._predicted)
            lines += self._histogram()
        for name, (kind, words, samples) in values.items():
            lines += _metric(name, kind, words, samples)
        return "\n".join(lines) + "\n"

    def _histogram(self) -> list[str]:
        name, below = "synaug_request_seconds", 0
        lines = _head(name, "histogram", "Time of requests to /predict.")
        for bound, count in zip((*map(str, _BUCKETS), "+Inf"), self._buckets, strict=True):
            below += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {below}')
        return [*lines, f"{name}_sum {self._seconds:.6f}", f"{name}_count {below}"]


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]


def _metric(name: str, kind: str, words: str, samples: Mapping[Labels, float]) -> list[str]:
    found = []
    for labels, value in samples.items():
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        found.append(f"{name}{{{inner}}} {_number(value)}" if inner else f"{name} {_number(value)}")
    return _head(name, kind, words) + found


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
