"""A test's result back onto the MLflow run whose images it judged."""

from __future__ import annotations

from collections.abc import Sequence

from synaug_core.refs import RunRef
from synaug_core.services.mlflow.tags import Tag
from synaug_core.turing.answers import Answer
from synaug_core.turing.result import TuringResult

__all__ = ["record"]


def record(run: RunRef, result: TuringResult, answers: Sequence[Answer], page: str, changed: float) -> None:
    """Write metrics, a tag and files; written twice, the same result leaves one trace. The run's status stays.

    Args:
        run: the run.
        result: the figures.
        answers: what they were computed from.
        page: the result's page.
        changed: time of the last answer in seconds since 1970. A metric's step is this time in milliseconds, so that
            MLflow shows the latest result wherever and however often one is written.
    """
    from synaug_core.services.mlflow.recorder import Recorder

    recorder = Recorder(run)
    try:
        recorder.metrics(result.metrics(), step=round(1000 * changed))
        recorder.tags({Tag.TURING: result.sentence})
        recorder.json([answer.model_dump() for answer in answers], "turing/answers.json")
        recorder.json(result.model_dump(mode="json"), "turing/result.json")
        recorder.text(page, "turing/result.html")
        recorder.flush()
    finally:
        recorder.close()
