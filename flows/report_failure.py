"""Say that a run failed, where people look."""

import asyncio
import inspect
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.states import Crashed

import tasks.engine.result_storage  # noqa: F401 - Prefect finds a block by its class, so the class has to be loaded
from flows.process import dated
from synaug_core.errors import ConfigError
from synaug_core.services.secrets import redacted
from tasks.retraining import close_left

__all__ = ["NOTIFY_TAG", "report_failure"]

NOTIFY_TAG = "synaug-notify:"
"""What a tag of a run begins with whose failure a notification block is to be told; the block follows, as TYPE/NAME."""
_LONGEST = 1000


@flow(name="report-failure", flow_run_name=dated("failure"), persist_result=False)
def report_failure(flow_run_id: UUID, notify: str = "") -> str:
    """Keep one line about a failed run as the artifact `failed-run` and in the log. Close what the run left open: its
    retrainings in Prefect, its runs in the MLflow that its deployment names; a process that was killed could not. Send
    the line to the notification blocks that the run's tags name, also where MLflow could not be reached.

    Args:
        flow_run_id: the run that failed.
        notify: a further block on the Prefect server, such as slack-webhook/ops; empty: none. The blocks keep addresses
            and their secrets.

    Returns:
        The line.

    Raises:
        ConfigError: there is no such block, or it sends nothing; what the run left open is closed all the same.
        Exception: the block's own, where nobody takes the message; of this too the rest is done before.
    """
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(flow_run_id)
        name = client.read_flow(run.flow_id).name
        below = _close_below(client, run.id)
        places = _variables(client, run.deployment_id)
    state = (run.state.name if run.state else None) or "unknown state"
    reason = redacted((run.state.message if run.state else "") or "no reason given")
    reason = " ".join(reason.split())[:_LONGEST]
    line = f"{name} {run.name!r}: {state}: {reason}"
    get_run_logger().error(line)
    create_markdown_artifact(_markdown(name, run.name, state, reason, _address(flow_run_id)), key="failed-run")
    try:
        if closed := close_left((str(run.id), *below), f"{state}: {reason}", places):
            get_run_logger().warning(f"{closed} runs that it left open in MLflow are closed")
    finally:
        tagged = [tag.removeprefix(NOTIFY_TAG) for tag in run.tags if tag.startswith(NOTIFY_TAG)]
        for slug in dict.fromkeys(filter(None, [*tagged, notify])):
            _send(_block(slug), line, f"synaug: {name} {state.lower()}")
    return line


def _variables(client: SyncPrefectClient, deployment: UUID | None) -> dict[str, str]:
    """Variables that the failed run was given by its deployment."""
    if deployment is None:
        return {}
    try:
        variables = client.read_deployment(deployment).job_variables.get("env") or {}
        return {name: str(value) for name, value in variables.items() if value is not None}
    except ObjectNotFound:  # deleted meanwhile
        return {}


def _close_below(client: SyncPrefectClient, flow_run_id: UUID) -> list[str]:
    """The flow runs that the run called, in the same process: those that still count as running died with it."""
    called = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id]))
    runs = client.read_flow_runs(flow_run_filter=called)
    for run in runs:
        if run.state is None or not run.state.is_final():
            client.set_flow_run_state(run.id, Crashed(message="the run that called it ended"), force=True)
    return [str(run.id) for run in runs]


def _send(block: NotificationBlock, text: str, subject: str) -> None:
    sent: Any = block.notify(text, subject=subject)
    if inspect.iscoroutine(sent):  # Prefect's own blocks answer at once here; others may be asynchronous only
        asyncio.run(sent)


def _address(flow_run_id: UUID) -> str:
    ui = get_current_settings().ui_url
    return f"{ui.rstrip('/')}/runs/flow-run/{flow_run_id}" if ui else ""


def _markdown(flow_name: str, run_name: str, state: str, reason: str, address: str) -> str:
    shown = f"[{run_name}]({address})" if address else run_name
    quoted = reason.replace("`", "'")
    return f"**{flow_name}** {shown} ended as **{state}**\n\n`{quoted}`\n"


def _block(slug: str) -> NotificationBlock:
    try:
        block = Block.load(slug)
    except (ValueError, ObjectNotFound) as error:
        raise ConfigError(f"notify: the Prefect server has no block {slug!r}; expected TYPE/NAME") from error
    if not isinstance(block, NotificationBlock):
        raise ConfigError(f"notify: {slug!r} is no notification block")
    return block
