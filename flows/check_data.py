"""Retrain when the images change: a cheap look, on a schedule, whether they have."""

from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas import filters, objects
from prefect.events import emit_event
from prefect.runtime import deployment
from prefect.states import Completed

from flows.process import dated
from synaug_core.config import DataConfig
from tasks.fingerprint import detect_new_data

__all__ = ["DATA_CHANGED", "check_data", "dataset_resource"]

DATA_CHANGED = "synaug.data.changed"
"""The event that the automation of a data set waits for; whoever uploads images may send it as well."""

_UNDER_WAY = [
    objects.StateType.SCHEDULED,
    objects.StateType.PENDING,
    objects.StateType.RUNNING,
    objects.StateType.CANCELLING,
]


def dataset_resource(name: str) -> str:
    """What the event is about."""
    return f"synaug.dataset.{name}"


@flow(name="check-data", flow_run_name=dated("{name}"), persist_result=False)
def check_data(name: str, data: DataConfig = DataConfig()) -> objects.State[Any]:
    """Compare the images with those of the last retraining that ended well; the event `synaug.data.changed` tells the
    server when they differ, and its automation starts the deployment `retrain/<name>`, or that of the name that this
    one was deployed under.

    Only file names and bytes are read, in S3 the listing alone; no image is decoded.

    Args:
        name: of the data set, as in its configuration.
        data: where the images are.

    Returns:
        A state that says what came of it: NothingNew, Changed, or UnderWay where a retraining is waiting or running.

    Raises:
        DataError: the images cannot be read.
        UserError: they are in S3, and the way to them is not as it should be.
    """
    fingerprint, news = detect_new_data(name, data)
    if news is None:
        return Completed(name="NothingNew", message=f"nothing new: {name} was trained with these images")
    if _is_under_way(name):
        return Completed(name="UnderWay", message=f"{news}; a retraining of {name} is waiting or running already")
    emit_event(
        DATA_CHANGED,
        resource={"prefect.resource.id": dataset_resource(name), "prefect.resource.name": name},
        payload={"fingerprint": fingerprint, "news": news},
    )
    return Completed(name="Changed", message=f"{news}; retraining {name}")


def _is_under_way(name: str) -> bool:
    """Whether a retraining has been started and not ended; runs that only the schedule foresees do not count.

    Its deployment has the data set's name, or the one that `synaug deploy --name` gave to both.
    """
    deployed = {name, deployment.name or name}
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=filters.FlowFilter(name=filters.FlowFilterName(any_=["retrain"])),
            deployment_filter=filters.DeploymentFilter(name=filters.DeploymentFilterName(any_=sorted(deployed))),
            flow_run_filter=filters.FlowRunFilter(
                state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=_UNDER_WAY))
            ),
        )
    return any(not (run.auto_scheduled and run.state_type == objects.StateType.SCHEDULED) for run in runs)
