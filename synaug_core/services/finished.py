"""What the last finished retraining of a data set saw."""

from __future__ import annotations

from dataclasses import dataclass

from synaug_core.services.clients import client, patiently
from synaug_core.services.runs import PARENT, STAGE
from synaug_core.services.settings import Settings

__all__ = ["FINGERPRINT_LENGTH", "Finished", "last_finished"]

FINGERPRINT_LENGTH = 16
"""So many characters of a data set's fingerprint are a parameter of its run."""


@dataclass(frozen=True)
class Finished:
    """A retraining that ended well; `fingerprint` is the beginning of its data's."""

    run_id: str
    fingerprint: str


def last_finished(current: Settings, experiment: str) -> Finished | None:
    """The retraining of an experiment that ended well last; None where there is none, or not even the experiment."""
    mlflow = client(current)
    found = patiently(mlflow.get_experiment_by_name, experiment)
    if found is None:
        return None
    newest = patiently(
        mlflow.search_runs,
        [found.experiment_id],
        filter_string=f"tags.`{STAGE}` = 'retrain' and attributes.status = 'FINISHED'",
        order_by=["attributes.end_time DESC"],
        max_results=1,
    )
    if not newest:
        return None
    run_id = str(newest[0].info.run_id)
    below = patiently(
        mlflow.search_runs,
        [found.experiment_id],
        filter_string=f"tags.`{STAGE}` = 'dataset' and tags.`{PARENT}` = '{run_id}'",
        max_results=1,
    )
    return Finished(run_id, below[0].data.params.get("fingerprint", "") if below else "")
