"""Versions of a registered model, without a classifier behind them."""

from __future__ import annotations

from synaug_core.refs import RunRef
from synaug_core.services.mlflow.clients import client
from synaug_core.services.models.registry import ModelVersion, register
from synaug_core.services.settings import Settings

NAME = "synaug-test"


def add_version(settings: Settings, name: str, run: RunRef, key: str, **tags: object) -> ModelVersion:
    """Register a logged model that has no files."""
    mlflow = client(settings)
    number = mlflow.get_run(run.run_id).info.experiment_id
    model = mlflow.create_logged_model(number, name="classifier", source_run_id=run.run_id)
    mlflow.finalize_logged_model(model.model_id, "READY")
    return register(settings, name, model_uri=f"models:/{model.model_id}", run=run, key=key, tags=tags)
