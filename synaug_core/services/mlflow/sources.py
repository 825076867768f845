"""Which data the retrainings of an experiment were made from."""

from __future__ import annotations

from synaug_core.services.mlflow.clients import client, every
from synaug_core.services.mlflow.runs import STAGE
from synaug_core.services.settings import Settings

__all__ = ["sources_of"]


def sources_of(current: Settings, experiment: str) -> frozenset[str]:
    """The values of `data.source` of the data sets in an experiment; none where there is no such experiment."""
    mlflow = client(current)
    found = mlflow.get_experiment_by_name(experiment)
    if found is None:
        return frozenset()
    runs = every(mlflow.search_runs, experiment_ids=[found.experiment_id], filter_string=f"tags.`{STAGE}` = 'dataset'")
    return frozenset(run.data.params["source"] for run in runs if "source" in run.data.params)
