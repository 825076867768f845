"""MLflow runs that a dead flow run left RUNNING, on whatever machine it died."""

from __future__ import annotations

from collections.abc import Sequence

from synaug_core.services.mlflow.clients import client, every
from synaug_core.services.mlflow.runs import end
from synaug_core.services.settings import Settings

__all__ = ["FLOW_RUN", "close_runs_of"]

FLOW_RUN = "prefect.flow_run_id"
"""Tag of every run of a retraining: the flow run that writes it, or did last."""

_OURS = "name LIKE 'synaug/%'"


def close_runs_of(current: Settings, flow_runs: Sequence[str], reason: str) -> list[str]:
    """Set the RUNNING runs of these flow runs to KILLED, with the first line of `reason` as their `synaug.error`.

    Who asks knows that the flow runs have ended. A run that a later flow run took up bears that one's id and stays.

    Returns:
        The ids of the closed runs.
    """
    mlflow = client(current)
    known = [found.experiment_id for found in every(mlflow.search_experiments, filter_string=_OURS)]
    closed: list[str] = []
    for flow_run in flow_runs if known else ():
        condition = f"attributes.status = 'RUNNING' and tags.`{FLOW_RUN}` = '{flow_run}'"
        for run in list(every(mlflow.search_runs, experiment_ids=known, filter_string=condition)):
            end(mlflow, run.info.run_id, "KILLED", reason)
            closed.append(run.info.run_id)
    return closed
