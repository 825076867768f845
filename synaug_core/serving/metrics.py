"""Counters of the service in Prometheus' text format."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "Metrics", "Value"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Of `Metrics.text`."""
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the latency histogram, seconds."""

Value = tuple[str, str, Mapping[str, str], float | None]
"""Kind (gauge, counter), help, labels, and the value; None: there is none now."""


class Metrics:
    """Counts requests and images. Methods may be called from any thread.

    Args:
        state: further metrics by name, asked for anew each time.
    """

    def __init__(self, state: Callable[[], Mapping[str, Value]]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types; they would double the series
        own = self._registry = CollectorRegistry()  # the library's common one has figures of other packages
        self._requests = Counter("synaug_requests", "Requests.", ["path", "status"], registry=own)
        self._errors = Counter("synaug_errors", "Requests answered with 4xx or 5xx.", registry=own)
        self._images = Counter("synaug_images", "Images classified.", registry=own)
        self._predicted = Counter("synaug_predicted", "Images by predicted class.", ["class"], registry=own)
        words = "Time of requests to /predict."
        self._seconds = Histogram("synaug_request_seconds", words, buckets=_BUCKETS, registry=own)
        own.register(_State(state))

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; those to /predict enter the histogram."""
        self._requests.labels(path, str(status)).inc()
        self._errors.inc(status >= 400)
        if path == "/predict":
            self._seconds.observe(seconds)

    def images(self, classes: Sequence[str]) -> None:
        """Count classified images by their class."""
        self._images.inc(len(classes))
        for name in classes:
            self._predicted.labels(name).inc()

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)


class _State(Collector):
    def __init__(self, state: Callable[[], Mapping[str, Value]]) -> None:
        self._state = state

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Each metric as it is now."""
        for name, (kind, words, labels, value) in self._state().items():
            family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, words, labels=list(labels))
            if value is not None:
                family.add_metric(list(labels.values()), value)
            yield family
