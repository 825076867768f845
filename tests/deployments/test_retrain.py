"""The deployment on a real Prefect server."""

from __future__ import annotations

import importlib
import json
import urllib.request
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from deployments.retrain import WORK_POOL, apply
from synaug_core.config import Config
from synaug_core.errors import ConfigError, UserError

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def ask(server: str) -> Any:
    def post(path: str, **body: Any) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{server}/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    return post


def named(ask: Any, name: str) -> Any:
    [found] = [d for d in ask("deployments/filter") if d["name"] == name]
    return found


def test_done_twice_it_is_done_once(ask: Any) -> None:
    config = Config(name="wbc", repetitions=3)
    options: dict[str, Any] = {"cron": "0 3 * * 1", "timezone": "Europe/Berlin", "environment": {"SYNAUG_HOME": "/x"}}
    assert apply(config, **options) == "retrain/wbc"
    once = named(ask, "wbc")
    assert apply(config, **options) == "retrain/wbc"
    again = named(ask, "wbc")
    assert once["id"] == again["id"]
    volatile = {"updated", "schedules", "last_polled", "status", "pull_steps"}
    assert {k: v for k, v in once.items() if k not in volatile} == {k: v for k, v in again.items() if k not in volatile}
    assert len(again["schedules"]) == 1
    assert [p["name"] for p in ask("work_pools/filter")].count(WORK_POOL) == 1


def test_it_runs_when_and_how_it_was_asked_to_and_never_twice_at_once(ask: Any) -> None:
    config = Config(name="scheduled", repetitions=3)
    apply(config, cron="0 3 * * 1", timezone="Europe/Berlin", working_dir="/srv", environment={"SYNAUG_HOME": "/x"})
    found = named(ask, "scheduled")
    [schedule] = found["schedules"]
    assert schedule["active"] is True
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 3 * * 1", "Europe/Berlin")
    assert found["global_concurrency_limit"]["limit"] == 1
    assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert found["work_pool_name"] == WORK_POOL
    assert found["job_variables"] == {"env": {"SYNAUG_HOME": "/x"}, "working_dir": "/srv"}
    assert Config.model_validate(found["parameters"]["config"]) == config
    module, _, flow = found["entrypoint"].rpartition(".")
    assert getattr(importlib.import_module(module), flow).name == "retrain"
    assert found["paused"] is False


def test_a_changed_schedule_replaces_the_old_one_and_none_takes_it_away(ask: Any) -> None:
    config = Config(name="moving")
    apply(config, cron="0 3 * * *")
    apply(config, cron="30 4 * * *")
    assert [s["schedule"]["cron"] for s in named(ask, "moving")["schedules"]] == ["30 4 * * *"]
    apply(config)
    assert named(ask, "moving")["schedules"] == []
    apply(Config(name="moving", repetitions=9), name="moving")
    assert named(ask, "moving")["parameters"]["config"]["repetitions"] == 9


def test_the_prefect_ui_can_show_a_form(ask: Any) -> None:
    apply(Config(name="form"))
    schema = named(ask, "form")["parameter_openapi_schema"]
    assert schema["definitions"]["Config"]["properties"].keys() >= {"data", "arms", "repetitions", "tuning"}


@pytest.mark.parametrize(
    ("cron", "zone"), [("now and then", "UTC"), ("0 3 * *", "UTC"), ("61 3 * * *", "UTC"), ("0 3 * * *", "Mars/Base")]
)
def test_a_schedule_that_is_none_is_refused_and_nothing_is_made(ask: Any, cron: str, zone: str) -> None:
    with pytest.raises(ConfigError, match=r"--cron .* is no schedule; five fields and a zone are expected"):
        apply(Config(name="wrong"), cron=cron, timezone=zone)
    assert not [d for d in ask("deployments/filter") if d["name"] == "wrong"]


def test_a_work_pool_of_another_type_is_refused() -> None:
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="elsewhere", type="docker"))
    with pytest.raises(UserError, match="the work pool 'elsewhere' is of type docker; name one of type process"):
        apply(Config(name="pooled"), work_pool="elsewhere")
