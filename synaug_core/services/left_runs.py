"""MLflow runs that a dead flow run left RUNNING, on whatever machine it died."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from synaug_core.services.clients import client, patiently
from synaug_core.services.runs import ERROR
from synaug_core.services.secrets import redacted
from synaug_core.services.settings import Settings

__all__ = ["FLOW_RUN", "close_runs_of"]

FLOW_RUN = "prefect.flow_run_id"
"""Tag of every run of a retraining: the flow run that writes it, or did last."""

_OURS = "name LIKE 'synaug/%'"
_A_PAGE = 1000


def close_runs_of(current: Settings, flow_runs: Sequence[str], reason: str) -> list[str]:
    """Set the RUNNING runs of these flow runs to KILLED, with the first line of `reason` as their `synaug.error`.

    Who asks knows that the flow runs have ended. A run that a later flow run took up bears that one's id and stays.

    Returns:
        The ids of the closed runs.
    """
    mlflow = client(current)
    known = [found.experiment_id for found in _every(mlflow.search_experiments, filter_string=_OURS)]
    closed: list[str] = []
    for flow_run in flow_runs if known else ():
        condition = f"attributes.status = 'RUNNING' and tags.`{FLOW_RUN}` = '{flow_run}'"
        for run in list(_every(mlflow.search_runs, experiment_ids=known, filter_string=condition)):
            if lines := reason.strip().splitlines():
                patiently(mlflow.set_tag, run.info.run_id, ERROR, redacted(lines[0])[:500])
            patiently(mlflow.set_terminated, run.info.run_id, "KILLED")
            closed.append(run.info.run_id)
    return closed


def _every(search: Callable[..., Any], **conditions: Any) -> Iterator[Any]:
    """What a search of MLflow finds, page after page."""
    token = None
    while True:
        page = patiently(search, **conditions, max_results=_A_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
