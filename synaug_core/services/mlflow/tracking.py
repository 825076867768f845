"""Tracking as the tasks see it: a run around a step's work, and what stands in for one whose result was reused."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from synaug_core.refs import RunRef
from synaug_core.services.mlflow.adoption import REUSED, adopt
from synaug_core.services.mlflow.clients import client_of, patiently
from synaug_core.services.mlflow.links import (
    link_to,
    link_to_artifact,
    link_to_comparison,
    link_to_experiment,
    link_to_model,
)
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.runs import find_run, finish, is_finished, open_run, reap, run_ref
from synaug_core.services.secrets import first_line
from synaug_core.services.settings import Settings

__all__ = [
    "Recorder",
    "adopt",
    "find_run",
    "finish",
    "is_finished",
    "link_to",
    "link_to_artifact",
    "link_to_comparison",
    "link_to_experiment",
    "link_to_model",
    "open_run",
    "reap",
    "recording",
    "recording_in",
    "run_ref",
]

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def recording(
    current: Settings,
    *,
    experiment: str,
    key: str,
    stage: str,
    name: str,
    parent: RunRef | None = None,
    tags: Mapping[str, str] | None = None,
    expected: tuple[type[BaseException], ...] = (),
) -> Iterator[Recorder]:
    """Open a run (see `open_run`), give its recorder, and end the run with the block (see `recording_in`)."""
    run = open_run(current, experiment=experiment, key=key, stage=stage, name=name, parent=parent, tags=tags)
    with recording_in(run, expected=expected) as recorder:
        yield recorder


@contextlib.contextmanager
def recording_in(
    run: RunRef, *, ends: bool = True, expected: tuple[type[BaseException], ...] = ()
) -> Iterator[Recorder]:
    """Give an open run's recorder, write what it gathered when the block ends, and end the run with it.

    The run ends FINISHED; FAILED where the block raises (the error's first line becomes the tag `synaug.error`);
    KILLED where it is interrupted. Every error goes on to the caller.

    Args:
        run: the run.
        ends: False leaves the run as it is when the block ends well.
        expected: errors that end a run well (a pruned trial); their kind becomes the tag `synaug.outcome`.
    """
    was_finished = _reopen(run)
    recorder = Recorder(run)
    try:
        yield recorder
        recorder.flush()
        if ends and not was_finished:
            finish(run)
    except BaseException as error:
        if isinstance(error, expected):
            recorder.tags({"synaug.outcome": type(error).__name__})
            recorder.flush()
            finish(run)
        else:
            _give_up(recorder, error)
        raise
    finally:
        recorder.close()


def _reopen(run: RunRef) -> bool:
    """Whether the run was FINISHED before; what stood in for another run is now one of its own."""
    mlflow = client_of(run)
    found: Any = patiently(mlflow.get_run, run.run_id)
    if REUSED in found.data.tags:
        for tag in (REUSED, "mlflow.note.content"):
            if tag in found.data.tags:
                patiently(mlflow.delete_tag, run.run_id, tag)
    return bool(found.info.status == "FINISHED")


def _give_up(recorder: Recorder, error: BaseException) -> None:
    """Record what there is of a failed step; troubles in doing so must not hide the step's own error."""
    try:
        recorder.flush()
        finish(recorder.run, "FAILED" if isinstance(error, Exception) else "KILLED", first_line(error))
    except Exception as trouble:
        _log.warning("the run %s could not be closed: %s", recorder.run.run_id, first_line(trouble))
