"""What may happen to runs on the stack: several at once, some killed, a worker gone, Prefect's server restarted."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import processes_of
from tests.s3.swift import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
name: {name}
data: {{source: digits, classes: ["0", "1", "2"], long_tail: 8, image_size: 16, duplicates: {{related: pixels}}}}
arms: {arms}
repetitions: 1
generator: {{steps: 20, evaluate_every: 10, width: 8}}
synthesis: {{filters: {{near_duplicates: null}}}}
classifier: {{steps: {steps}, patience: {steps}, evaluate_every: 10, width: 8}}
tuning: {{trials: 0}}
evaluation: {{resamples: 200}}
robustness: {{enabled: false}}
explanation: {{enabled: false}}
compute: {{workers: 1}}
"""
LONG = 100_000
"""Steps of a training that will be killed long before its end."""
SLOT = "concurrency limit"

Worker = Callable[[str], contextlib.AbstractContextManager[subprocess.Popen[bytes]]]


@pytest.fixture(scope="module")
def started(place: Path) -> Iterator[None]:
    """A stack without a worker, in this process: what is killed here does not end it."""
    from scripts.stack.native import running

    with running(place / "stack", mlflow_port=25100, prefect_port=24300, worker=False, announce=str):
        yield


@pytest.fixture(scope="module")
def worker(servers: Any) -> Worker:
    """Run a worker with a home of its own, as on a machine of its own."""

    @contextlib.contextmanager
    def work(name: str) -> Iterator[subprocess.Popen[bytes]]:
        [port] = free_ports(1)
        own = {"SYNAUG_HOME": str(servers.home / name), "PREFECT_WORKER_WEBSERVER_PORT": str(port)}
        # Prefect's defaults look every 10 s.
        own |= {"PREFECT_WORKER_QUERY_SECONDS": "2", "PREFECT_HOME": str(servers.home / name / "prefect")}
        (servers.home / name).mkdir(exist_ok=True)
        log = servers.home / "logs" / f"worker-{name}.log"
        command = ["sh", str(ROOT / "docker" / "entrypoints" / "worker.sh")]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**servers.environment, **own},
                cwd=servers.home,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    os.killpg(process.pid, sign)
                    process.wait(20)
            end_all(own["SYNAUG_HOME"])

    return work


def end_all(home: str) -> None:
    """End the runs that a worker left: they lead groups of their own."""
    for process in processes_of(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def deploy(servers: Any, name: str, *options: str, arms: str = "[original, combined]", steps: int = 20) -> str:
    (servers.desk / f"{name}.yaml").write_text(SMALL.format(name=name, arms=arms, steps=steps))
    said: str = servers.run("synaug", "deploy", f"{name}.yaml", *options)
    return said


def schedule(servers: Any, deployment: str, *, inside: float = 0.0, **changed: Any) -> str:
    """Schedule a run for now, or a few seconds later; `changed` are keys of its configuration."""
    found = servers.deployment(deployment)
    when = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=inside)).isoformat()
    body = {
        "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": when}},
        "parameters": {**found["parameters"], "config": {**found["parameters"]["config"], **changed}},
    }
    number: str = servers.prefect(f"deployments/{found['id']}/create_flow_run", body)["id"]
    return number


def states(servers: Any, flow_run: str) -> list[dict[str, Any]]:
    found = servers.prefect(f"flow_run_states/?flow_run_id={flow_run}")
    return sorted(found, key=lambda state: state["timestamp"])


def ran(servers: Any, flow_run: str) -> tuple[dt.datetime, dt.datetime]:
    """When a run ran."""
    every = states(servers, flow_run)
    began = next(state for state in every if state["type"] == "RUNNING")
    return dt.datetime.fromisoformat(began["timestamp"]), dt.datetime.fromisoformat(every[-1]["timestamp"])


def at_once(one: tuple[dt.datetime, dt.datetime], other: tuple[dt.datetime, dt.datetime]) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])


def slots(servers: Any, dataset: str) -> int:
    """How many runs of a data set hold its slot."""
    taken: int = servers.prefect(f"v2/concurrency_limits/synaug-dataset-{dataset}")["active_slots"]
    return taken


def parents(servers: Any, dataset: str) -> list[dict[str, Any]]:
    return [run for run in servers.runs(f"synaug/{dataset}") if run["stage"] == "retrain"]


def at_work(servers: Any, dataset: str, flow_run: str) -> Callable[[], int | None]:
    """The process of a run, once it trains."""

    def find() -> int | None:
        state = servers.prefect(f"flow_runs/{flow_run}")["state"]
        assert state["type"] in ("SCHEDULED", "PENDING", "RUNNING"), state
        mine = [r for r in servers.runs(f"synaug/{dataset}") if r["tags"].get("prefect.flow_run_id") == flow_run]
        if not any(run["stage"] == "repetition" and run["status"] == "RUNNING" for run in mine):
            return None
        [parent] = [run for run in mine if run["stage"] == "retrain"]
        return int(parent["tags"]["synaug.process"].split("/")[-2])

    return find


def closed(servers: Any, dataset: str, flow_run: str) -> Callable[[], bool]:
    """Whether MLflow shows nothing of a dead run as RUNNING."""

    def look() -> bool:
        mine = [r for r in servers.runs(f"synaug/{dataset}") if r["tags"].get("prefect.flow_run_id") == flow_run]
        assert mine
        return all(run["status"] != "RUNNING" for run in mine)

    return look


def reports(servers: Any) -> str:
    return str([(run["state"]["type"], run["parameters"]) for run in servers.flow_runs("report-failure/synaug")])


def test_one_run_of_a_data_set_at_a_time(servers: Any, worker: Worker) -> None:
    """Two workers, two runs of one data set and one of another: the second of the first waits, the other does not."""
    deploy(servers, "cats", "--busy", "wait")
    deploy(servers, "dogs", "--busy", "wait")
    with worker("one"), worker("two"):
        waiting = [schedule(servers, "retrain/cats", inside=2), schedule(servers, "retrain/cats", inside=2)]
        beside = schedule(servers, "retrain/dogs", inside=2)
        ends = [servers.ended(run) for run in (*waiting, beside)]
        assert [end["type"] for end in ends] == ["COMPLETED"] * 3, ends
        first, second = sorted(waiting, key=lambda run: ran(servers, run))
        assert not at_once(ran(servers, first), ran(servers, second))
        assert "AwaitingConcurrencySlot" in [state["name"] for state in states(servers, second)]
        assert "AwaitingConcurrencySlot" not in [state["name"] for state in states(servers, beside)]
        assert at_once(ran(servers, first), ran(servers, beside))
        # The second found everything done, whichever worker had done it.
        assert [run["status"] for run in parents(servers, "cats")] == ["FINISHED"]
        assert (slots(servers, "cats"), slots(servers, "dogs")) == (0, 0)

        # And with `cancel` the second ends at once and says why.
        assert "changed   deployment retrain/cats" in deploy(servers, "cats", "--busy", "cancel")
        both = [schedule(servers, "retrain/cats", inside=2, seed=1) for _ in range(2)]
        ends = [servers.ended(run) for run in both]
        assert sorted(end["type"] for end in ends) == ["CANCELLED", "COMPLETED"], ends
        assert [SLOT in end["message"] for end in ends if end["type"] == "CANCELLED"] == [True]
        assert slots(servers, "cats") == 0
    assert not (servers.desk / "home" / "cache").exists()


def test_a_killed_run_is_closed_everywhere(servers: Any, worker: Worker, wait: Callable[..., Any]) -> None:
    """kill -9 of a run: its worker tells Prefect, Prefect's automation has MLflow's runs closed, and it goes on."""
    deploy(servers, "elks", arms="[original]", steps=LONG)
    with worker("one"):
        run = schedule(servers, "retrain/elks")
        process = wait(at_work(servers, "elks", run), 600)
        assert slots(servers, "elks") == 1
        os.kill(process, signal.SIGKILL)
        assert servers.ended(run, 60)["type"] == "CRASHED"
        wait(closed(servers, "elks", run), 120, lambda: reports(servers))
        [parent] = parents(servers, "elks")
        assert parent["status"] == "KILLED"
        assert parent["tags"]["synaug.error"].startswith("Crashed: ")
        assert slots(servers, "elks") == 0


def test_a_worker_that_is_gone(servers: Any, worker: Worker, wait: Callable[..., Any]) -> None:
    """A machine goes down: nobody is left to say so, the signs of life stop, and the next worker goes on."""
    deploy(servers, "owls", arms="[original]", steps=LONG)
    automation = shortened(servers, 60)
    with worker("three") as machine:
        run = schedule(servers, "retrain/owls")
        process = wait(at_work(servers, "owls", run), 600)
        os.killpg(machine.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    assert servers.prefect(f"flow_runs/{run}")["state"]["type"] == "RUNNING"
    state = servers.ended(run, 200)
    assert (state["type"], state["message"]) == ("CRASHED", "it gave no signs of life any more"), automation
    with worker("four"):
        wait(closed(servers, "owls", run), 120, lambda: reports(servers))
        [parent] = parents(servers, "owls")
        assert parent["status"] == "KILLED"
        assert "no signs of life" in parent["tags"]["synaug.error"]
        assert slots(servers, "owls") == 0
        deploy(servers, "owls", arms="[original]")
        assert servers.ended(schedule(servers, "retrain/owls"))["type"] == "COMPLETED"
    assert not [run for run in servers.runs("synaug/owls") if run["status"] == "RUNNING"]


def shortened(servers: Any, seconds: int) -> dict[str, Any]:
    """The automation that notices dead runs, made to notice sooner than after its five minutes."""
    every = servers.prefect("automations/filter", {})
    [found] = [one for one in every if one["name"] == "synaug: close runs that died"]
    assert found["trigger"]["within"] == 300
    kept = ("name", "description", "enabled", "trigger", "actions", "actions_on_trigger", "actions_on_resolve")
    changed = {key: found[key] for key in kept}
    changed["trigger"] = {**changed["trigger"], "within": seconds}
    servers.prefect(f"automations/{found['id']}", changed, "PUT")
    return changed


def test_slots_survive_a_restart_of_prefect(servers: Any, worker: Worker, wait: Callable[..., Any]) -> None:
    """A run keeps its slot, and can go on asking for it, when Prefect's server was killed and came back."""
    deploy(servers, "bats", arms="[original]", steps=LONG)
    with worker("five"):
        run = schedule(servers, "retrain/bats")
        process = wait(at_work(servers, "bats", run), 600)
        lease = servers.prefect(f"flow_runs/{run}")["state"]["state_details"]["deployment_concurrency_lease_id"]
        renew = f"v2/concurrency_limits/leases/{lease}/renew"
        assert servers.prefect(renew, {"lease_duration": 300}) is None
        with restarted(servers):
            wait(lambda: answers(servers), 60)
            assert servers.prefect(renew, {"lease_duration": 300}) is None
            assert slots(servers, "bats") == 1
            refused = servers.ended(schedule(servers, "retrain/bats", seed=1), 120)
            assert refused["type"] == "CANCELLED"
            assert SLOT in refused["message"]
            assert servers.prefect(f"flow_runs/{run}")["state"]["type"] == "RUNNING"
            os.kill(process, signal.SIGKILL)
            assert servers.ended(run, 60)["type"] == "CRASHED"
            wait(lambda: slots(servers, "bats") == 0, 30)


def answers(servers: Any) -> bool:
    try:
        return bool(servers.prefect("health") is True)
    except OSError:  # not yet
        return False


@contextlib.contextmanager
def restarted(servers: Any) -> Iterator[None]:
    """Prefect's server killed, and a new one in its place as long as the block."""
    old = int((servers.home / "pids" / "prefect").read_text())
    pairs = Path(f"/proc/{old}/environ").read_bytes().decode().split("\0")
    environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    os.killpg(old, signal.SIGKILL)
    with (servers.home / "logs" / "prefect.log").open("ab") as output:
        command = ["sh", str(ROOT / "docker" / "entrypoints" / "prefect.sh")]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
