"""One deployment on a Prefect server: read, compared with what was planned, written where it differs."""

import json
from typing import Any
from uuid import UUID

from httpx import HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments.plan import Planned
from tasks.engine.machine import make_limit

__all__ = ["apply_deployment"]

_STRATEGIES = {"cancel": "CANCEL_NEW", "wait": "ENQUEUE"}
_COMPARED: tuple[str, ...] = ("description", "entrypoint", "parameters", "tags", "work_pool_name", "job_variables")
_COMPARED += ("work_queue_name",)
_COMPARED += ("parameter_openapi_schema", "enforce_parameter_schema", "pull_steps")


def apply_deployment(client: SyncPrefectClient, planned: Planned) -> tuple[UUID, str]:
    """Make the deployment or bring it up to date: its id, and "made", "changed" or "unchanged".

    One that is as planned is not touched, so the runs that its schedule foresees stay. A schedule that somebody paused
    stays paused as long as it is the same.
    """
    body = _deployment_body(client, planned)
    existing = _existing_deployment(client, planned)
    if existing is not None and _differences(existing, body) == []:
        return UUID(existing["id"]), "unchanged"
    if existing is not None:
        paused = [_when(s) for s in existing["schedules"] if not s["active"]]
        for schedule in body["schedules"]:
            schedule["active"] = _when(schedule) not in paused
    answer = client.request("POST", "/deployments/", json=body).json()
    return UUID(answer["id"]), "made" if existing is None else "changed"


def _deployment_body(client: SyncPrefectClient, planned: Planned) -> dict[str, Any]:
    flow: Any = load_flow_from_entrypoint(planned.entrypoint)
    schedules = [] if planned.cron is None else [_schedule(planned.cron, planned.timezone)]
    # A run holds its slot by a lease that it renews: one that is killed gives the slot back after minutes.
    limit = None if planned.limit is None else make_limit(client, planned.limit)
    body = {
        "name": planned.name,
        "flow_id": str(client.create_flow_from_name(planned.flow)),
        "description": planned.description,
        "entrypoint": planned.entrypoint,
        "parameters": dict(planned.parameters),
        "parameter_openapi_schema": parameter_schema(flow).model_dump_for_openapi(),
        "enforce_parameter_schema": True,
        "tags": list(planned.tags),
        "work_pool_name": planned.pool,
        "work_queue_name": planned.queue or "default",
        "job_variables": dict(planned.job_variables),
        "pull_steps": [],
        "schedules": schedules,
        "global_concurrency_limit_id": None if limit is None else str(limit),
        "concurrency_options": None if limit is None else {"collision_strategy": _STRATEGIES[planned.busy]},
    }
    plain: dict[str, Any] = json.loads(json.dumps(body))
    return plain


def _existing_deployment(client: SyncPrefectClient, planned: Planned) -> dict[str, Any] | None:
    path = {"flow_name": planned.flow, "deployment_name": planned.name}
    try:
        answer = client.request("GET", "/deployments/name/{flow_name}/{deployment_name}", path_params=path)
    except HTTPStatusError as error:
        if error.response.status_code == 404:
            return None
        raise
    deployment: dict[str, Any] = answer.json()
    return deployment


def _differences(existing: dict[str, Any], body: dict[str, Any]) -> list[str]:
    """The names of what is not as wanted."""
    different = [key for key in _COMPARED if existing.get(key) != body[key]]
    if [_when(s) for s in existing["schedules"]] != [_when(s) for s in body["schedules"]]:
        different.append("schedules")
    if (existing.get("global_concurrency_limit") or {}).get("id") != body["global_concurrency_limit_id"]:
        different.append("limit")
    strategies = [(side.get("concurrency_options") or {}).get("collision_strategy") for side in (existing, body)]
    return different if strategies[0] == strategies[1] else [*different, "collision strategy"]


def _schedule(cron: str, timezone: str) -> dict[str, Any]:
    return {"schedule": {"cron": cron, "timezone": timezone, "day_or": True}, "active": True}


def _when(schedule: dict[str, Any]) -> tuple[str, str]:
    return schedule["schedule"].get("cron", ""), schedule["schedule"].get("timezone", "")
