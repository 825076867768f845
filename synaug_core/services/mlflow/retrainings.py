"""The retrainings of a data set: the last that finished, the data they were made from, runs that a dead one left."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synaug_core.refs import RunRef
from synaug_core.services import retry, settings
from synaug_core.services.mlflow import clients, tags
from synaug_core.services.mlflow.runs import end

__all__ = [
    "FINGERPRINT_LENGTH",
    "Finished",
    "close_runs_of",
    "last_compare_page",
    "last_finished",
    "note_asked",
    "sources_of",
]

FINGERPRINT_LENGTH = 16
"""So many characters of a data set's fingerprint are a parameter of its run."""
_SYNAUG_EXPERIMENTS = "name LIKE 'synaug/%'"


@dataclass(frozen=True)
class Finished:
    """A retraining that ended well; `fingerprint` is the beginning of its data's."""

    run_id: str
    fingerprint: str


def note_asked(run: RunRef) -> None:
    """Note on a finished retraining that it was asked for again: it is now the last one, whenever it ended."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    retry.patiently(clients.client_of(run).set_tag, run.run_id, tags.Tag.ASKED_AT, now)


def last_finished(current: settings.Settings, experiment: str) -> Finished | None:
    """The retraining of an experiment that ended well, or was found done, last; None where there is none, or not even
    the experiment."""
    mlflow = clients.client(current)
    stored_experiment = retry.patiently(mlflow.get_experiment_by_name, experiment)
    if stored_experiment is None:
        return None
    condition = f"tags.`{tags.Tag.STAGE}` = 'retrain' and attributes.status = 'FINISHED'"
    finished_runs = list(
        retry.every_result(mlflow.search_runs, [stored_experiment.experiment_id], filter_string=condition)
    )
    if not finished_runs:
        return None
    run_id = str(max(finished_runs, key=_last_used).info.run_id)
    below = retry.patiently(
        mlflow.search_runs,
        [stored_experiment.experiment_id],
        filter_string=f"tags.`{tags.Tag.STAGE}` = 'dataset' and tags.`{tags.Tag.PARENT}` = '{run_id}'",
        max_results=1,
    )
    return Finished(run_id, below[0].data.params.get("fingerprint", "") if below else "")


def _last_used(run: Any) -> float:
    asked_at = run.data.tags.get(tags.Tag.ASKED_AT)
    ended = float(run.info.end_time or 0) / 1000
    return max(ended, dt.datetime.fromisoformat(asked_at).timestamp()) if asked_at else ended


def close_runs_of(current: settings.Settings, flow_runs: Sequence[str], reason: str) -> list[str]:
    """Set the RUNNING runs of these flow runs to KILLED, with the first line of `reason` as their `synaug.error`.

    Who asks knows that the flow runs have ended. A run that a later flow run took up bears that one's id and stays.

    Returns:
        The ids of the closed runs.
    """
    mlflow = clients.client(current)
    numbers = _numbers(mlflow)
    closed: list[str] = []
    for flow_run in flow_runs if numbers else ():
        condition = f"attributes.status = 'RUNNING' and tags.`{tags.Tag.FLOW_RUN}` = '{flow_run}'"
        for run in list(retry.every_result(mlflow.search_runs, experiment_ids=numbers, filter_string=condition)):
            end(mlflow, run.info.run_id, "KILLED", reason)
            closed.append(run.info.run_id)
    return closed


def last_compare_page(current: settings.Settings) -> tuple[str, str] | None:
    """The experiment of the retraining that ended last, and the page with its chosen arms side by side; None where
    there is none."""
    mlflow = clients.client(current)
    numbers = _numbers(mlflow)
    condition = f"tags.`{tags.Tag.COMPARE_PAGE}` != '' and attributes.status = 'FINISHED'"
    newest = (
        retry.patiently(
            mlflow.search_runs, numbers, filter_string=condition, order_by=["attributes.end_time DESC"], max_results=1
        )
        if numbers
        else []
    )
    if not newest:
        return None
    experiment = retry.patiently(mlflow.get_experiment, newest[0].info.experiment_id)
    return experiment.name, newest[0].data.tags[tags.Tag.COMPARE_PAGE]


def _numbers(mlflow: Any) -> list[str]:
    """Of synaug's experiments."""
    experiments = retry.every_result(mlflow.search_experiments, filter_string=_SYNAUG_EXPERIMENTS)
    return [experiment.experiment_id for experiment in experiments]


def sources_of(current: settings.Settings, experiment: str) -> frozenset[str]:
    """The values of `data.source` of the data sets in an experiment; none where there is no such experiment."""
    mlflow = clients.client(current)
    stored_experiment = mlflow.get_experiment_by_name(experiment)
    if stored_experiment is None:
        return frozenset()
    runs = retry.every_result(
        mlflow.search_runs,
        experiment_ids=[stored_experiment.experiment_id],
        filter_string=f"tags.`{tags.Tag.STAGE}` = 'dataset'",
    )
    return frozenset(run.data.params["source"] for run in runs if "source" in run.data.params)
