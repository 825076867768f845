"""What `synaug deploy` applies, on a real Prefect server."""

from __future__ import annotations

import importlib
import json
import urllib.request
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

from deployments.apply import Applied, apply
from deployments.plan import Options
from deployments.pools import template
from synaug_core.config import Config
from synaug_core.config.sweep import SweepConfig
from synaug_core.errors import ConfigError, UserError
from tasks.engine.machine import make_limit

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def ask(server: str) -> Any:
    def call(path: str, method: str = "POST", **body: Any) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{server}/{path}", data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    return call


def deployed(ask: Any, entrypoint: str, name: str) -> Any:
    [found] = [d for d in ask("deployments/filter") if (d["name"], d["entrypoint"]) == (name, entrypoint)]
    return found


def changes(done: list[Applied]) -> set[str]:
    return {one.change for one in done}


RETRAIN = "flows.retrain.retrain"


def test_applied_twice_nothing_changes(ask: Any) -> None:
    config = Config(name="twice", repetitions=3)
    sweep = SweepConfig(base={"name": "twice"}, grid={"seed": {"0": 0, "1": 1}})
    options = Options(cron="0 3 * * 1", check_cron="0 * * * *", timezone="Europe/Berlin")
    first = apply([(config, sweep)], options)
    before = ask("deployments/filter"), ask("automations/filter"), ask("v2/concurrency_limits/filter")
    second = apply([(config, sweep)], options)
    assert changes(second) == {"unchanged"}
    assert [(one.kind, one.name) for one in first] == [(one.kind, one.name) for one in second]
    assert {one.name for one in first if one.kind == "deployment"} >= {
        *("retrain/twice", "sweep/twice", "check-data/twice", "promote/twice", "rollback/twice"),
        "report-failure/synaug",
    }
    after = ask("deployments/filter"), ask("automations/filter"), ask("v2/concurrency_limits/filter")
    for then, now in zip(before, after, strict=True):
        assert {d["id"]: d["updated"] for d in then} == {d["id"]: d["updated"] for d in now}


def test_several_data_sets_at_once(ask: Any) -> None:
    apply([(Config(name="one"), None), (Config(name="other"), None)], Options())
    for name in ("one", "other"):
        assert deployed(ask, RETRAIN, name)["parameters"]["config"]["name"] == name
    assert changes(apply([(Config(name="other"), None)], Options())) == {"unchanged"}


def test_it_runs_when_and_how_it_was_asked_to_and_never_twice_at_once(ask: Any) -> None:
    config = Config(name="scheduled", repetitions=3)
    sweep = SweepConfig(base={"name": "scheduled"}, grid={"seed": {"0": 0, "1": 1}})
    variables = {"working_dir": "/srv", "env": {"SYNAUG_HOME": "/x"}}
    apply([(config, sweep)], Options(cron="0 3 * * 1", timezone="Europe/Berlin", busy="wait", job_variables=variables))
    found = deployed(ask, RETRAIN, "scheduled")
    [schedule] = found["schedules"]
    assert schedule["active"] is True
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 3 * * 1", "Europe/Berlin")
    assert found["global_concurrency_limit"]["limit"] == 1
    assert found["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    shared = deployed(ask, "flows.sweep.sweep", "scheduled")["global_concurrency_limit"]
    assert shared["id"] == found["global_concurrency_limit"]["id"]
    assert found["work_pool_name"] == "synaug"
    assert found["job_variables"]["working_dir"] == "/srv"
    assert found["job_variables"]["env"] == {"SYNAUG_HOME": "/x", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
    assert Config.model_validate(found["parameters"]["config"]) == config
    module, _, flow = found["entrypoint"].rpartition(".")
    assert getattr(importlib.import_module(module), flow).name == "retrain"
    assert found["paused"] is False


def test_the_server_can_make_runs_of_a_schedule(ask: Any) -> None:
    """Prefect 3.8 cannot with SQLAlchemy 2.1, and says so in the server's log only."""
    apply([(Config(name="foreseen"), None)], Options(cron="0 3 * * *"))
    number = deployed(ask, RETRAIN, "foreseen")["id"]
    ask(f"deployments/{number}/schedule", max_runs=3)
    runs = ask("flow_runs/filter", deployments={"id": {"any_": [number]}})
    assert [run["state_type"] for run in runs] == ["SCHEDULED"] * 3


def test_a_changed_schedule_replaces_the_old_one_and_none_takes_it_away(ask: Any) -> None:
    config = Config(name="moving")
    apply([(config, None)], Options(cron="0 3 * * *"))
    done = apply([(config, None)], Options(cron="30 4 * * *"))
    assert [one.name for one in done if one.change == "changed"] == ["retrain/moving"]
    assert [s["schedule"]["cron"] for s in deployed(ask, RETRAIN, "moving")["schedules"]] == ["30 4 * * *"]
    apply([(config, None)], Options())
    assert deployed(ask, RETRAIN, "moving")["schedules"] == []
    apply([(Config(name="moving", repetitions=9), None)], Options())
    assert deployed(ask, RETRAIN, "moving")["parameters"]["config"]["repetitions"] == 9


def test_what_a_person_switched_off_stays_off(ask: Any) -> None:
    config, options = Config(name="off"), Options(cron="0 3 * * *")
    apply([(config, None)], options)
    found = deployed(ask, RETRAIN, "off")
    ask(f"deployments/{found['id']}/schedules/{found['schedules'][0]['id']}", "PATCH", active=False)
    [automation] = [a for a in ask("automations/filter") if a["name"] == "synaug: retrain off when its data change"]
    ask(f"automations/{automation['id']}", "PATCH", enabled=False)
    assert changes(apply([(config, None)], options)) == {"unchanged"}
    apply([(Config(name="off", repetitions=9), None)], options)
    found = deployed(ask, RETRAIN, "off")
    assert found["parameters"]["config"]["repetitions"] == 9
    assert [s["active"] for s in found["schedules"]] == [False]
    [again] = [a for a in ask("automations/filter") if a["name"] == automation["name"]]
    assert (again["id"], again["enabled"]) == (automation["id"], False)


@pytest.mark.slow
def test_an_automation_is_found_among_more_than_a_page_of_them(ask: Any) -> None:
    config = Config(name="crowded")
    apply([(config, None)], Options())
    ours = {a["id"]: a["updated"] for a in ask("automations/filter")}
    with get_client(sync_client=True) as client:
        one = client.read_automations_by_name("synaug: report failed runs of the pool synaug")[0].model_dump(
            include=set(AutomationCore.model_fields), exclude={"owner_resource"}
        )
        others = [client.create_automation(AutomationCore(**one | {"name": f"other {n:03}"})) for n in range(201)]
        try:
            assert changes(apply([(config, None)], Options())) == {"unchanged"}
            found = client.read_automations_by_name("synaug: retrain crowded when its data change")
            assert [str(a.id) in ours for a in found] == [True]
        finally:
            for number in others:
                client.delete_automation(number)


def test_a_limit_that_another_process_has_just_made_is_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with get_client(sync_client=True) as client:
        made = client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="at-once", limit=4))
        read, missed = client.read_global_concurrency_limit_by_name, []

        def late(name: str) -> Any:
            if not missed:
                missed.append(name)
                raise ObjectNotFound(http_exc=RuntimeError("not there yet"))
            return read(name)

        monkeypatch.setattr(client, "read_global_concurrency_limit_by_name", late)
        assert make_limit(client, "at-once") == made
        assert read("at-once").limit == 4


def test_the_prefect_ui_can_show_forms(ask: Any) -> None:
    apply([(Config(name="form"), None)], Options())
    schema = deployed(ask, RETRAIN, "form")["parameter_openapi_schema"]
    assert schema["definitions"]["Config"]["properties"].keys() >= {"data", "arms", "repetitions", "tuning"}
    asked = deployed(ask, "flows.promote.promote", "form")
    assert asked["parameters"] == {"name": "synaug-form"}
    assert asked["parameter_openapi_schema"]["required"] == ["name", "version"]


def test_a_schedule_that_is_none_is_refused_and_nothing_is_made(ask: Any) -> None:
    wanted: list[Any] = [(Config(name="right"), None), (Config(name="wrong"), None)]
    with pytest.raises(ConfigError, match="is no schedule"):
        apply(wanted, Options(cron="now and then", pool="unmade"))
    assert not [d for d in ask("deployments/filter") if d["name"] in ("right", "wrong")]
    assert not [p for p in ask("work_pools/filter") if p["name"] == "unmade"]


def test_each_team_is_told_of_its_own_runs_whoever_deploys_afterwards(ask: Any) -> None:
    """What the first one's reports need is not changed by the second one, in the same pool or in another."""
    for name in ("first", "second"):
        CustomWebhookNotificationBlock(name=name, url="http://127.0.0.1:9", method="POST").save(name, overwrite=True)
    homes = {team: {"env": {"SYNAUG_HOME": f"/srv/{team}"}, "working_dir": f"/srv/{team}"} for team in ("one", "two")}
    first = Options(notify="custom-webhook/first", job_variables=homes["one"])
    apply([(Config(name="of-first"), None)], first)
    report = deployed(ask, "flows.report_failure.report_failure", "synaug")
    before = {a["name"]: a for a in ask("automations/filter")}
    done = apply(
        [(Config(name="of-second"), None)], Options(notify="custom-webhook/second", job_variables=homes["two"])
    )
    apply([(Config(name="of-third"), None)], Options(pool="elsewhere-too", job_variables=homes["two"]))
    assert [one.change for one in done if one.name == "report-failure/synaug"] == ["unchanged"]
    assert deployed(ask, "flows.report_failure.report_failure", "synaug") == report
    assert "/srv" not in json.dumps(report["job_variables"])
    assert (report["work_pool_name"], report["work_queue_name"]) == ("synaug", "synaug-reports")
    after = {a["name"]: a for a in ask("automations/filter")}
    assert {name: a["actions"] for name, a in before.items()}.items() <= {
        n: a["actions"] for n, a in after.items()
    }.items()
    tag = "synaug-notify:custom-webhook/first"
    assert tag in deployed(ask, RETRAIN, "of-first")["tags"]
    alarm = after["synaug: tell custom-webhook/first of failed runs"]
    assert alarm["trigger"]["match_related"] == [
        {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}
    ]
    assert [action["type"] for action in alarm["actions"]] == ["send-notification"]
    others = deployed(ask, "flows.report_failure.report_failure", "elsewhere-too")
    assert others["work_pool_name"] == "elsewhere-too"


def test_a_block_that_is_none_is_refused_and_nothing_is_made(ask: Any) -> None:
    with pytest.raises(ConfigError, match=r"--notify slack-webhook/none: the Prefect server has no such block"):
        apply([(Config(name="unheard"), None)], Options(notify="slack-webhook/none", pool="unmade"))
    assert not [d for d in ask("deployments/filter") if d["name"] == "unheard"]
    assert not [p for p in ask("work_pools/filter") if p["name"] == "unmade"]


def test_the_reports_of_an_earlier_version_are_not_doubled(ask: Any) -> None:
    apply([(Config(name="renewed"), None)], Options())
    with get_client(sync_client=True) as client:
        current = client.read_automations_by_name("synaug: report failed runs of the pool synaug")[0]
        old = current.model_dump(include=set(AutomationCore.model_fields), exclude={"owner_resource"})
        client.create_automation(AutomationCore(**old | {"name": "synaug: report failed runs"}))
        assert changes(apply([(Config(name="renewed"), None)], Options())) == {"unchanged"}
        assert client.read_automations_by_name("synaug: report failed runs") == []


def test_a_work_pool_of_another_type_is_refused() -> None:
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="elsewhere", type="docker"))
    with pytest.raises(UserError, match="the work pool 'elsewhere' is of type docker; name one of type process"):
        apply([(Config(name="pooled"), None)], Options(pool="elsewhere"))


def test_containers_get_their_templates(ask: Any) -> None:
    config, options = Config(name="contained"), Options(pool="boxes", job_variables={"image": "synaug:cpu"})
    apply([(config, None)], options, pool_kind="docker")
    [pool] = [p for p in ask("work_pools/filter") if p["name"] == "boxes"]
    assert (pool["type"], pool["base_job_template"]) == ("docker", template("docker"))
    assert deployed(ask, RETRAIN, "contained")["job_variables"]["image"] == "synaug:cpu"
    own = template("docker")
    own["variables"]["properties"]["mem_limit"]["default"] = "64g"
    ask("work_pools/boxes", "PATCH", base_job_template=own)
    assert changes(apply([(config, None)], options, pool_kind="docker")) == {"unchanged"}
    done = apply([(config, None)], options, pool_kind="docker", renew_pool=True)
    assert [one.name for one in done if one.change == "changed"] == ["boxes"]
    [pool] = [p for p in ask("work_pools/filter") if p["name"] == "boxes"]
    assert pool["base_job_template"] == template("docker")
    apply([(Config(name="clustered"), None)], Options(pool="cluster"), pool_kind="kubernetes")
    [pool] = [p for p in ask("work_pools/filter") if p["name"] == "cluster"]
    assert (pool["type"], pool["base_job_template"]) == ("kubernetes", template("kubernetes"))
