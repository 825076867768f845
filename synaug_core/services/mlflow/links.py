"""Addresses of MLflow's pages: whole where there is a tracking server, else the part behind the local UI's address."""

import json
from collections.abc import Sequence
from urllib.parse import quote

from synaug_core.refs import RunRef
from synaug_core.services import retry, settings
from synaug_core.services.mlflow import clients

__all__ = ["at_server", "link_to", "link_to_artifact", "link_to_comparison", "link_to_experiment", "link_to_model"]

_MODE = "workflowType=machine_learning"
"""Shows MLflow's menu for model training, which has the model registry; its default is one for language models."""


LOCAL_UI = "http://127.0.0.1:5000"
"""Where `synaug ui` shows a local store, unless that port is taken."""


def at_server(tracking_uri: str, page: str) -> str:
    """A page's whole address: on the tracking server, or where `synaug ui` shows a local store."""
    return page if page.startswith(("http://", "https://")) else _whole(_server(tracking_uri), page)


def _server(tracking_uri: str) -> str:
    return tracking_uri if tracking_uri.startswith(("http://", "https://")) else LOCAL_UI


def link_to(run: RunRef) -> str:
    """A run's page."""
    return _whole(run.tracking_uri, f"#/experiments/{_number(run)}/runs/{run.run_id}?{_MODE}")


def link_to_artifact(run: RunRef, path: str) -> str:
    """A run's page with one of its files shown."""
    place = f"#/experiments/{_number(run)}/runs/{run.run_id}/artifacts/{quote(path)}?{_MODE}"
    return _whole(run.tracking_uri, place)


def link_to_comparison(runs: Sequence[RunRef]) -> str:
    """The page with several runs' parameters and metrics side by side, behind MLflow's address.

    The runs must be of one experiment, at least one.
    """
    chosen = quote(json.dumps([run.run_id for run in runs], separators=(",", ":")))
    within = quote(json.dumps([_number(runs[0])]))
    return f"#/compare-runs?runs={chosen}&experiments={within}&{_MODE}"


def link_to_experiment(current: settings.Settings, name: str) -> str:
    """An experiment's list of runs; the experiment is made where there is none."""
    return _whole(
        clients.secret_free_uri(current), f"#/experiments/{clients.experiment_id(current, name)}/runs?{_MODE}"
    )


def link_to_model(current: settings.Settings, name: str) -> str:
    """A registered model's versions."""
    return _whole(clients.secret_free_uri(current), f"#/models/{quote(name)}?{_MODE}")


def _number(run: RunRef) -> str:
    return str(retry.patiently(clients.client_of(run).get_run, run.run_id).info.experiment_id)


def _whole(address: str, page: str) -> str:
    return f"{address.rstrip('/')}/{page}" if address.startswith(("http://", "https://")) else page
