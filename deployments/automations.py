"""What the server does by itself: retrain changed data, report failures, close runs that died."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from deployments.plan import HEARTBEAT, TAG
from flows.check_data import DATA_CHANGED, dataset_resource
from flows.report_failure import NOTIFY_TAG

__all__ = [
    "apply_automation",
    "close_dead_runs",
    "delete_reports_of_all_pools",
    "report_failures",
    "retrain_on_change",
    "tell_of_failures",
]

_ENDED = ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut")
_RUN = "prefect.flow-run"
_REPORTS = "synaug: report failed runs"
"""Alone, the name of version 0.1.0's, which was one for all pools."""


def retrain_on_change(dataset: str, name: str, deployment: UUID) -> AutomationCore:
    """Start the retraining `name` when `check-data`, or whoever uploads images, says that they changed."""
    return AutomationCore(
        name=f"synaug: retrain {name} when its data change",
        description=f"The event {DATA_CHANGED} of {dataset_resource(dataset)} starts retrain/{name}.",
        trigger=EventTrigger(
            expect={DATA_CHANGED},
            match={"prefect.resource.id": dataset_resource(dataset)},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[RunDeployment(deployment_id=deployment)],
    )


def report_failures(pool: str, deployment: UUID) -> AutomationCore:
    """Run the pool's `report-failure` for each of its deployed runs that ends badly."""
    return AutomationCore(
        name=f"{_REPORTS} of the pool {pool}",
        description="Each failed, crashed or timed out run of a synaug deployment becomes an artifact and a message.",
        trigger=_on_failure([_tagged(TAG), {"prefect.resource.name": pool, "prefect.resource.role": "work-pool"}]),
        actions=[RunDeployment(deployment_id=deployment, parameters={"flow_run_id": _template("flow_run.id")})],
    )


def tell_of_failures(slug: str, block: UUID) -> AutomationCore:
    """Send a message to a notification block for each run that ends badly and names it: the server does so itself, at
    once, whatever the workers do. It says less than the report, whose reason is cleared of passwords."""
    return AutomationCore(
        name=f"synaug: tell {slug} of failed runs",
        description=f"Each failed, crashed or timed out run that was deployed with --notify {slug} is told to it.",
        trigger=_on_failure([_tagged(NOTIFY_TAG + slug)]),
        actions=[
            SendNotification(
                block_document_id=block,
                subject="synaug: {{ flow.name }} {{ flow_run.state.name | lower }}",
                body="{{ flow.name }} {{ flow_run.name }} ended as {{ flow_run.state.name }}; a report with the reason "
                "follows as soon as a worker is free. {{ (flow_run | ui_url) or '' }}",
            )
        ],
    )


def _on_failure(related: list[dict[str, str]]) -> EventTrigger:
    return EventTrigger.model_validate(
        {
            "expect": {f"{_RUN}.Failed", f"{_RUN}.Crashed", f"{_RUN}.TimedOut"},
            "match": {"prefect.resource.id": f"{_RUN}.*"},
            "match_related": related,
            "posture": Posture.Reactive,
            "threshold": 1,
            "within": timedelta(0),
        }
    )


def _tagged(tag: str) -> dict[str, str]:
    return {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}


def close_dead_runs() -> AutomationCore:
    """Set a deployed run to Crashed when its signs of life stop: a killed worker cannot say so itself."""
    beat = f"{_RUN}.heartbeat"
    return AutomationCore(
        name="synaug: close runs that died",
        description="A run that gave signs of life and stops giving them is set to Crashed.",
        trigger=EventTrigger(
            after={beat},
            expect={beat, *(f"{_RUN}.{state}" for state in _ENDED)},
            match={"prefect.resource.id": f"{_RUN}.*"},
            match_related=_tagged(TAG),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=10 * HEARTBEAT),
        ),
        actions=[
            ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="it gave no signs of life any more")
        ],
    )


def apply_automation(client: SyncPrefectClient, automation: AutomationCore) -> str:
    """Make the automation or bring it up to date; "made", "changed" or "unchanged". One that somebody switched off
    stays off."""
    existing = next(iter(client.read_automations_by_name(automation.name)), None)
    if existing is None:
        client.create_automation(automation)
        return "made"
    automation = automation.model_copy(update={"enabled": existing.enabled})
    if _content(existing) == _content(automation):
        return "unchanged"
    client.update_automation(existing.id, AutomationCore.model_validate(_content(automation)))
    return "changed"


def delete_reports_of_all_pools(client: SyncPrefectClient) -> None:
    """Delete the automation of version 0.1.0: beside those of the pools it would report each run twice."""
    for automation in client.read_automations_by_name(_REPORTS):
        client.delete_automation(automation.id)


def _content(automation: AutomationCore) -> dict[str, Any]:
    return automation.model_dump(include=set(AutomationCore.model_fields), exclude={"owner_resource"})


def _template(expression: str) -> dict[str, str]:
    """A parameter that the server fills in when the automation fires."""
    return {"__prefect_kind": "jinja", "template": "{{ " + expression + " }}"}
