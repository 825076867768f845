"""What the last finished retraining of a data set saw."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from synaug_core.refs import RunRef
from synaug_core.services.mlflow.clients import client, client_of, every, patiently
from synaug_core.services.mlflow.runs import PARENT, STAGE
from synaug_core.services.settings import Settings

__all__ = ["FINGERPRINT_LENGTH", "Finished", "last_finished", "note_asked"]

FINGERPRINT_LENGTH = 16
"""So many characters of a data set's fingerprint are a parameter of its run."""

_ASKED = "synaug.asked_at"
"""Tag of a finished retraining that was asked for again and found done: when last."""


@dataclass(frozen=True)
class Finished:
    """A retraining that ended well; `fingerprint` is the beginning of its data's."""

    run_id: str
    fingerprint: str


def note_asked(run: RunRef) -> None:
    """Note on a finished retraining that it was asked for again: it is now the last one, whenever it ended."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    patiently(client_of(run).set_tag, run.run_id, _ASKED, now)


def last_finished(current: Settings, experiment: str) -> Finished | None:
    """The retraining of an experiment that ended well, or was found done, last; None where there is none, or not even
    the experiment."""
    mlflow = client(current)
    found = patiently(mlflow.get_experiment_by_name, experiment)
    if found is None:
        return None
    condition = f"tags.`{STAGE}` = 'retrain' and attributes.status = 'FINISHED'"
    done = list(every(mlflow.search_runs, [found.experiment_id], filter_string=condition))
    if not done:
        return None
    run_id = str(max(done, key=_last_used).info.run_id)
    below = patiently(
        mlflow.search_runs,
        [found.experiment_id],
        filter_string=f"tags.`{STAGE}` = 'dataset' and tags.`{PARENT}` = '{run_id}'",
        max_results=1,
    )
    return Finished(run_id, below[0].data.params.get("fingerprint", "") if below else "")


def _last_used(run: Any) -> float:
    asked = run.data.tags.get(_ASKED)
    ended = float(run.info.end_time or 0) / 1000
    return max(ended, dt.datetime.fromisoformat(asked).timestamp()) if asked else ended
