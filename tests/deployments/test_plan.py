"""What is planned, frozen in snapshot.json. After a change that is meant: SYNAUG_SNAPSHOT=write pytest this file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deployments.automations import close_dead_runs, report_failures, retrain_on_change, tell_of_failures
from deployments.plan import Options, Planned, plan, plan_report
from deployments.pools import KINDS, template
from synaug_core.config import Config
from synaug_core.config.sweep import SweepConfig
from synaug_core.errors import ConfigError

SNAPSHOT = Path(__file__).with_name("snapshot.json")
CONFIG = Config(name="wbc", repetitions=3)
SWEEP = SweepConfig(base={"name": "wbc"}, grid={"seed": {"0": 0, "1": 1}})
OPTIONS = Options(
    cron="0 3 * * 1",
    check_cron="*/30 * * * *",
    sweep_cron="0 4 1 * *",
    timezone="Europe/Berlin",
    busy="wait",
    job_variables={"env": {"SYNAUG_HOME": "/srv/synaug"}, "working_dir": "/srv"},
    notify="x/ops",
)


def frozen() -> dict[str, Any]:
    """Everything that people and scripts rely on. The configuration itself is frozen elsewhere: here its keys are."""
    planned = (
        plan(CONFIG, OPTIONS, SWEEP)
        + plan(Config(name="digits"), Options())
        + [plan_report("synaug", OPTIONS.job_variables)]
    )
    number = UUID(int=0)
    automations = [retrain_on_change("wbc", "wbc", number), report_failures("synaug", number), close_dead_runs()]
    automations.append(tell_of_failures("x/ops", number))
    return {
        "deployments": {one.full_name: _shown(one) for one in planned},
        "automations": [json.loads(json.dumps(a.model_dump(mode="json"), sort_keys=True)) for a in automations],
        "pools": {kind: _variables(kind) for kind in KINDS},
    }


def _shown(one: Planned) -> dict[str, Any]:
    values = asdict(one) | {"entrypoint": one.entrypoint}
    if "config" in values["parameters"] and one.flow == "retrain":
        values["parameters"]["config"] = sorted(values["parameters"]["config"])
    if "data" in values["parameters"]:
        values["parameters"]["data"] = {"source": values["parameters"]["data"]["source"]}
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _variables(kind: Any) -> dict[str, Any]:
    return {name: found.get("default") for name, found in template(kind)["variables"]["properties"].items()}


def ordered(value: Any) -> Any:
    """Prefect keeps names of events as sets."""
    if isinstance(value, dict):
        return {key: ordered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted((ordered(inner) for inner in value), key=lambda inner: json.dumps(inner, sort_keys=True))
    return value


def test_nothing_changed_by_accident() -> None:
    now = ordered(frozen())
    if os.environ.get("SYNAUG_SNAPSHOT") == "write":
        SNAPSHOT.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    assert now == json.loads(SNAPSHOT.read_text())


def test_retraining_and_sweep_share_their_limit_and_no_other_data_set_does() -> None:
    limits = {one.full_name: one.limit for one in plan(CONFIG, OPTIONS, SWEEP) + plan(Config(name="rbc"), Options())}
    assert limits["retrain/wbc"] == limits["sweep/wbc"] == "synaug-dataset-wbc"
    assert limits["promote/wbc"] == limits["rollback/wbc"] != limits["retrain/wbc"]
    assert limits["retrain/rbc"] == "synaug-dataset-rbc"


def test_a_configuration_without_a_sweep_gets_none() -> None:
    assert [one.flow for one in plan(CONFIG, Options())] == ["retrain", "check-data", "promote", "rollback"]
    with pytest.raises(ConfigError, match="--sweep-cron: the configuration of wbc has no section `sweep`"):
        plan(CONFIG, Options(sweep_cron="0 3 * * *"))


@pytest.mark.parametrize("option", ["cron", "check_cron", "sweep_cron"])
@pytest.mark.parametrize(
    ("cron", "zone"), [("now and then", "UTC"), ("0 3 * *", "UTC"), ("61 3 * * *", "UTC"), ("0 3 * * *", "Mars/Base")]
)
def test_a_schedule_that_is_none_is_refused(option: str, cron: str, zone: str) -> None:
    words = rf"--{option.replace('_', '-')} '.*' in the time zone .* is no schedule; five fields and a zone"
    with pytest.raises(ConfigError, match=words):
        plan(CONFIG, Options(timezone=zone, **{option: cron}), SWEEP)


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_uses_every_variable_and_no_other(kind: Any) -> None:
    found = template(kind)
    used = set()
    text = json.dumps(found["job_configuration"])
    for part in text.split("{{ ")[1:]:
        used.add(part.split(" }}")[0])
    assert used == set(found["variables"]["properties"])
    assert set(found["variables"].get("required", [])) <= used
    assert {"name", "env", "labels", "command", "stream_output"} <= used


def test_containers_have_no_more_rights_than_they_need() -> None:
    docker = template("docker")["variables"]["properties"]["container_create_kwargs"]["default"]
    assert docker["cap_drop"] == ["ALL"]
    job = template("kubernetes")["job_configuration"]["job_manifest"]["spec"]
    assert (job["parallelism"], job["completions"], job["backoffLimit"]) == (1, 1, 0)
    pod = job["template"]["spec"]
    assert not {"parallelism", "completions"} & set(pod)  # a cluster refuses fields that a pod does not have
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
