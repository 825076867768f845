"""The small flows, on a real Prefect server and a real MLflow store."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from prefect import flow, tags, task
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)
from prefect.flow_engine import run_flow_sync
from prefect.states import Completed, Pending, Running, Scheduled

from deployments.apply import apply
from deployments.plan import Options
from flows import check_data as module
from flows.check_data import check_data
from flows.promote import promote
from flows.report_failure import NOTIFY_TAG, report_failure
from flows.rollback import rollback
from flows.workers import default_runner
from synaug_core.config import ComputeConfig, Config, DataConfig
from synaug_core.errors import ConfigError, DataError, UserError
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.runs import find_run, open_run, recording
from synaug_core.services.models import registry
from synaug_core.services.settings import settings
from tasks.fingerprint import read_fingerprint
from tasks.retraining import Ending, close_retraining
from tests.gauge import Seen
from tests.versions import add_version

pytestmark = pytest.mark.usefixtures("server", "home")


@pytest.fixture
def images(tmp_path: Path) -> DataConfig:
    (tmp_path / "cells" / "a").mkdir(parents=True)
    (tmp_path / "cells" / "a" / "1.png").write_bytes(b"one")
    return DataConfig(source=str(tmp_path / "cells"))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events that a flow sends."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "emit_event", lambda event, **rest: found.append({"event": event, **rest}))
    return found


def retrained(name: str, data: DataConfig, *, status: str = "FINISHED") -> None:
    """What a retraining leaves of its data."""
    print_ = read_fingerprint.fn(data)
    top = open_run(settings(), experiment=f"synaug/{name}", key=print_, stage="retrain", name="retrain")
    with recording(
        settings(), experiment=f"synaug/{name}", key="d", stage="dataset", name="dataset", parent=top
    ) as recorder:
        recorder.params({"fingerprint": print_[:16]})
    client(settings()).set_terminated(top.run_id, status)


def test_unchanged_images_end_as_nothing_new(images: DataConfig, sent: list[Any]) -> None:
    first = check_data("quiet", images, return_state=True)
    assert (first.name, first.message) == ("Changed", "no retraining has ended well yet; retraining quiet")
    retrained("quiet", images, status="FAILED")
    assert check_data("quiet", images, return_state=True).name == "Changed"
    retrained("quiet", images)
    del sent[:]
    state = check_data("quiet", images, return_state=True)
    assert (state.name, state.is_completed()) == ("NothingNew", True)
    assert state.message == "nothing new: quiet was trained with these images"
    assert sent == []


def test_changed_images_are_told_to_the_server(images: DataConfig, sent: list[Any]) -> None:
    retrained("loud", images)
    (Path(images.source) / "a" / "2.png").write_bytes(b"two")
    assert check_data("loud", images, return_state=True).name == "Changed"
    [event] = sent
    assert event["event"] == "synaug.data.changed"
    assert event["resource"]["prefect.resource.id"] == "synaug.dataset.loud"
    assert len(event["payload"]["fingerprint"]) == 64
    retrained("loud", images)
    assert check_data("loud", images, return_state=True).name == "NothingNew"


def test_images_that_come_back_are_not_new_for_ever(images: DataConfig, sent: list[Any]) -> None:
    """The retraining of the first images is found done: it never ends again, and yet it is the last one."""
    second = Path(images.source) / "a" / "2.png"
    retrained("swing", images)
    second.write_bytes(b"two")
    retrained("swing", images)
    second.unlink()
    assert check_data("swing", images, return_state=True).name == "Changed"
    top = find_run(settings(), experiment="synaug/swing", key=read_fingerprint.fn(images))
    assert top is not None
    ended = client(settings()).get_run(top.run_id).info.end_time
    nothing = Ending(
        verdict="", best_arm="", headline={}, seconds={}, compare_page="", description="", dataset_run_id=""
    )
    close_retraining.fn(Config(name="swing"), top, nothing)  # as the event's retraining does it
    assert client(settings()).get_run(top.run_id).info.end_time == ended
    assert check_data("swing", images, return_state=True).name == "NothingNew"
    second.write_bytes(b"two")
    assert check_data("swing", images, return_state=True).name == "Changed"


def test_images_in_s3_are_looked_at(bucket: Any, sent: list[Any]) -> None:
    bucket.put("cells/a/1.png", b"one")
    data = DataConfig(source=bucket.at("cells"))
    assert check_data("remote", data, return_state=True).name == "Changed"
    retrained("remote", data)
    assert check_data("remote", data, return_state=True).name == "NothingNew"
    bucket.put("cells/a/2.png", b"two")
    assert check_data("remote", data, return_state=True).name == "Changed"
    assert len(sent) == 2


def test_a_retraining_under_another_name_is_seen(images: DataConfig, sent: list[Any]) -> None:
    config = Config(name="renamed", data=images)
    apply([(config, None)], Options(name="renamed-elsewhere"))
    parameters = {"name": "renamed", "data": images}
    with get_client(sync_client=True) as server:

        def check() -> Any:
            number = server.read_deployment_by_name("check-data/renamed-elsewhere").id
            run = server.create_flow_run_from_deployment(number)
            return run_flow_sync(check_data, flow_run=run, parameters=parameters, return_type="state")

        assert check().name == "Changed"
        number = server.read_deployment_by_name("retrain/renamed-elsewhere").id
        server.create_flow_run_from_deployment(number, state=Scheduled())
        assert check().name == "UnderWay"
    assert len(sent) == 1


def test_a_retraining_under_way_is_not_started_again(images: DataConfig, sent: list[Any]) -> None:
    apply([(Config(name="busy"), None)], Options(cron="0 3 * * *"))
    with get_client(sync_client=True) as server:
        number = server.read_deployment_by_name("retrain/busy").id
        assert check_data("busy", images, return_state=True).name == "Changed"  # those of the schedule do not count
        run = server.create_flow_run_from_deployment(number, state=Scheduled())
        assert check_data("busy", images, return_state=True).name == "UnderWay"
        server.set_flow_run_state(run.id, Pending(), force=True)
        assert check_data("busy", images, return_state=True).name == "UnderWay"
        server.set_flow_run_state(run.id, Completed(), force=True)
    assert check_data("busy", images, return_state=True).name == "Changed"
    assert len(sent) == 2


def test_images_that_are_gone_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.source"):
        check_data("gone", DataConfig(source=str(tmp_path / "gone")))


def test_promotion_and_rollback_as_flows() -> None:
    name = "synaug-flows"
    for key in ("one", "two"):
        run = open_run(settings(), experiment="synaug/flows", key=key, stage="s", name=key)
        add_version(settings(), name, run, key)
    assert promote(name, "1") == "synaug-flows: version 1 is champion"
    assert promote(name, "2", why="seen on the ward", expected="1") == "synaug-flows: version 2 is champion"
    with pytest.raises(registry.ChampionChangedError, match="version 2 is champion, not version 1 as expected"):
        promote(name, "1", expected="1")
    assert rollback(name, why="worse on the ward") == "synaug-flows: version 1 is champion again"
    assert [(r.version, r.by, r.why) for r in registry.champion_periods(settings(), name)] == [
        ("1", "a person", "worse on the ward"),
        ("2", "a person", "seen on the ward"),
        ("1", "a person", ""),
    ]
    with pytest.raises(UserError, match="no registered model 'synaug-none'"):
        rollback("synaug-none")


@flow(name="fails")
def fails() -> None:
    raise ValueError("no good: postgresql://me:hunter2@host/db")


def test_a_failed_run_is_reported(receiver: tuple[str, list[Any]]) -> None:
    address, taken = receiver
    block = CustomWebhookNotificationBlock(
        name="ops", url=address, method="POST", json_data={"text": "{{body}}", "subject": "{{subject}}"}
    )
    block.save("ops", overwrite=True)
    state = fails(return_state=True)
    line = report_failure(state.state_details.flow_run_id, notify="custom-webhook/ops")
    assert line.startswith("fails '")
    assert "Failed: " in line
    assert "no good: postgresql://***@host/db" in line
    assert [json.loads(body) for body in taken] == [{"text": line, "subject": "synaug: fails failed"}]
    with get_client(sync_client=True) as server:
        found = server.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["failed-run"])))
    assert "**fails**" in str(found[0].data)
    assert "hunter2" not in str(found) + line + str(taken)


@flow(name="tagged")
def tagged() -> None:
    raise ValueError("no good")


def test_the_blocks_that_a_runs_tags_name_are_told(receiver: tuple[str, list[Any]]) -> None:
    address, taken = receiver
    block = CustomWebhookNotificationBlock(name="team", url=address, method="POST", json_data={"text": "{{body}}"})
    block.save("team", overwrite=True)
    with tags(NOTIFY_TAG + "custom-webhook/team"):
        state = tagged(return_state=True)
    line = report_failure(state.state_details.flow_run_id)
    assert [json.loads(body) for body in taken] == [{"text": line}]


@flow(name="calls")
def calls() -> None:
    fails(return_state=True)
    raise ValueError("it fails as well")


def test_what_a_dead_run_left_open_is_closed() -> None:
    """A sweep that was killed: the retraining it called is neither ended in Prefect nor in MLflow."""
    above = calls(return_state=True).state_details.flow_run_id
    with get_client(sync_client=True) as server:
        below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[above]))
        [called] = server.read_flow_runs(flow_run_filter=below)
        server.set_flow_run_state(called.id, Running(), force=True)
        run = open_run(
            settings(),
            experiment="synaug/dead",
            key="k",
            stage="retrain",
            name="retrain",
            tags={"prefect.flow_run_id": str(called.id)},
        )
        report_failure(above)
        state = server.read_flow_run(called.id).state
    assert state is not None
    assert (state.name, state.message) == ("Crashed", "the run that called it ended")
    found = client(settings()).get_run(run.run_id)
    assert found.info.status == "KILLED"
    assert found.data.tags["synaug.error"].startswith("Failed: ")


def test_what_was_left_open_is_closed_though_nobody_takes_the_message() -> None:
    above = calls(return_state=True).state_details.flow_run_id
    tags = {"prefect.flow_run_id": str(above)}
    run = open_run(settings(), experiment="synaug/dead", key="q", stage="retrain", name="retrain", tags=tags)
    with pytest.raises(ConfigError, match="has no block"):
        report_failure(above, notify="slack-webhook/none")
    assert client(settings()).get_run(run.run_id).info.status == "KILLED"


def test_the_message_is_sent_though_mlflow_is_away(
    receiver: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, taken = receiver
    block = CustomWebhookNotificationBlock(name="away", url=address, method="POST", json_data={"text": "{{body}}"})
    block.save("away", overwrite=True)
    monkeypatch.setattr("synaug_core.services.mlflow.clients._PATIENCE", 0.1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    state = fails(return_state=True)
    with pytest.raises(UserError, match="no server answers at"):
        report_failure(state.state_details.flow_run_id, notify="custom-webhook/away")
    assert len(taken) == 1


def test_a_block_that_is_none_is_named() -> None:
    state = fails(return_state=True)
    with pytest.raises(ConfigError, match="has no block 'slack-webhook/none'; expected TYPE/NAME"):
        report_failure(state.state_details.flow_run_id, notify="slack-webhook/none")
    with pytest.raises(ConfigError, match="has no block 'none'"):
        report_failure(state.state_details.flow_run_id, notify="none")


def most_at_once(workers: int, **parameters: Any) -> int:
    """How many steps of a run are at work at once: so many wait for each other, and further ones would be seen."""
    seen, met = Seen(), threading.Barrier(workers)

    @task
    def beside() -> None:
        with seen.inside():
            met.wait(20)
            time.sleep(0.3)

    @flow(name="sized", task_runner=default_runner())
    def sized(config: Any = None) -> None:
        for future in [beside.submit() for _ in range(2 * workers)]:
            future.result()

    sized(**parameters)
    return seen.most


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("form", [lambda c: c, lambda c: c.model_dump(mode="json")], ids=["section", "json"])
def test_a_run_has_as_many_workers_as_its_configuration_says(workers: int, form: Callable[[Config], Any]) -> None:
    config = Config(compute=ComputeConfig(workers=workers))
    assert most_at_once(workers, config=form(config)) == workers


def test_a_run_without_a_configuration_has_one_worker_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synaug_core.devices.resolve", lambda device: torch.device("cpu"))
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    assert most_at_once(3) == 3
