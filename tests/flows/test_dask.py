"""Steps on Dask: in processes of this machine, and on a cluster that somebody else runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from flows.embedded import api_server, wait_until_ready
from flows.ledger import Ledger
from flows.workers import ConfiguredRunner, task_runner
from synaug_core.config import ComputeConfig
from synaug_core.errors import ConfigError, DataError, SynaugError
from synaug_core.services.settings import child_environment, settings
from tasks.progress_bus import Event, publish, subscribe
from tasks.step import step

distributed = pytest.importorskip("distributed")
pytest.importorskip("prefect_dask")

HERE = ComputeConfig(runner="dask", workers=2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server that the flows of these tests run on."""
    home = tmp_path_factory.mktemp("prefect")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_", "SYNAUG_"))}
    current = settings({"SYNAUG_HOME": str(home), "PREFECT_HOME": str(home)})
    started = {**child_environment(current), **kept, "PREFECT_HOME": str(home)}
    with api_server(home / "server.log", started) as running:
        wait_until_ready(running)
        changed = {PREFECT_API_URL: running.url, PREFECT_HOME: home, PREFECT_LOCAL_STORAGE_PATH: home / "storage"}
        with temporary_settings(changed):
            yield running.url


@step()
def counted(name: str) -> tuple[str, int]:
    for done in range(1, 4):
        publish(Event("counting", name, done, 3, {"figure": done / 2}))
    time.sleep(0.3)  # so that one process does not take all
    return name, os.getpid()


@task
def spoilt() -> None:
    raise DataError("the image is square")


@task
def endless(marks: Path) -> None:
    (marks / "began").touch()
    try:
        for n in range(1200):
            time.sleep(0.05)
            publish(Event("waiting", "step", n, 1200))
    finally:
        (marks / "ended").touch()


@task
def deadly(marks: Path, deaths: int) -> int:
    died = len(list(marks.iterdir()))
    if died < deaths:
        (marks / str(died)).touch()
        os._exit(3)
    return died


@flow
def count(names: tuple[str, ...], config: dict[str, Any]) -> tuple[list[Any], int]:
    ledger = Ledger()
    found = ledger.gather("counting", [(name, counted.submit(name)) for name in names])
    return found, ledger.cached


@contextmanager
def cluster(workers: int = 1, **environment: str) -> Iterator[Any]:
    """A cluster that is there before the flow and after it."""
    with distributed.LocalCluster(
        workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", env=environment
    ) as running:
        yield running


@contextmanager
def heeds_ctrl_c() -> Iterator[None]:
    """As a program does; a shell that starts the tests in the background lets them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], ComputeConfig]:
    """`at(running)`: one step at a time on that cluster."""

    def make(running: Any) -> ComputeConfig:
        monkeypatch.setenv("SYNAUG_DASK_SCHEDULER", running.scheduler_address)
        return ComputeConfig(runner="dask", workers=1)

    return make


def test_steps_run_in_processes_and_are_found_again_by_threads(server: str, home: Path) -> None:
    seen: list[Event] = []
    names = ("a", "b", "c", "d")
    [[by_threads], _] = count.with_options(task_runner=task_runner(ComputeConfig(workers=2)))(("e",), {})
    leave = subscribe(seen.append)
    runner = ConfiguredRunner()  # as under a server: the runner follows the run's own parameters
    first, cached = count.with_options(task_runner=runner)((*names, "e"), {"compute": HERE.model_dump()})
    leave()
    assert [name for name, _ in first] == [*names, "e"]
    pids = {pid for _, pid in first[:4]}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert cached == 1
    assert tuple(first[4]) == by_threads == ("e", os.getpid())
    for name in names:
        told = [e for e in seen if e.name == name]
        assert [e.done for e in told] == [1, 2, 3, 1]
        assert told[2] == Event("counting", name, 3, 3, {"figure": 1.5})
        assert told[3].state == "done"
    again, cached = count.with_options(task_runner=task_runner(ComputeConfig(workers=2)))((*names, "e"), {})
    assert [tuple(found) for found in again] == [tuple(found) for found in first]
    assert cached == 5
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
def test_a_worker_that_is_lost_is_replaced_and_many_are_an_error(
    server: str, home: Path, tmp_path: Path, at: Callable[[Any], ComputeConfig]
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()

    @flow
    def die(deaths: int) -> int:
        return deadly.submit(marks, deaths).result()

    with cluster() as running:
        assert die.with_options(task_runner=task_runner(at(running)))(1) == 1
        with pytest.raises(SynaugError, match="several Dask workers ended while they ran the same step"):
            die.with_options(task_runner=task_runner(at(running)))(100)


def test_on_a_cluster_errors_are_their_own_and_an_interrupted_flow_ends_its_steps(
    server: str,
    home: Path,
    tmp_path: Path,
    at: Callable[[Any], ComputeConfig],
) -> None:
    @flow
    def spoil() -> None:
        spoilt.submit().result()

    @flow
    def wait() -> None:
        future = endless.submit(tmp_path)
        threading.Thread(target=interrupt, daemon=True).start()
        future.wait()

    def interrupt() -> None:
        while not (tmp_path / "began").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    with cluster() as running:
        with pytest.raises(DataError, match="the image is square"):
            spoil.with_options(task_runner=task_runner(at(running)))()
        with heeds_ctrl_c(), pytest.raises(KeyboardInterrupt):
            wait.with_options(task_runner=task_runner(at(running)))()
        end = time.monotonic() + 5
        while not (tmp_path / "ended").exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert (tmp_path / "ended").exists()


def test_nobody_at_the_address(server: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import flows.dask_runner

    monkeypatch.setattr(flows.dask_runner, "_PATIENCE", 1)
    monkeypatch.setenv("SYNAUG_DASK_SCHEDULER", "tcp://127.0.0.1:9")
    nowhere = ComputeConfig(runner="dask", workers=1)
    with pytest.raises(ConfigError, match=r"SYNAUG_DASK_SCHEDULER: no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        count.with_options(task_runner=task_runner(nowhere))(("a",), {})


def test_a_cluster_wants_the_number_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNAUG_DASK_SCHEDULER", "tcp://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"compute\.workers: say how many"):
        task_runner(ComputeConfig(runner="dask"))


@pytest.mark.slow
def test_a_worker_with_other_places_is_refused(server: str, home: Path, at: Callable[[Any], ComputeConfig]) -> None:
    with (
        cluster(SYNAUG_TUNING_STORAGE="postgresql://someone:secret@elsewhere/x") as running,
        pytest.raises(ConfigError, match=r"the worker tcp://\S+ differs in SYNAUG_TUNING_STORAGE: ") as refused,
    ):
        count.with_options(task_runner=task_runner(at(running)))(("a",), {})
    assert "secret" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_retraining_on_two_processes_has_the_same_numbers_as_on_threads(
    first: Any,
    tiny: Callable[..., dict[str, Any]],
    write: Callable[..., Path],
    command: Callable[..., list[str]],
    surroundings: dict[str, str],
    client_of: Callable[[Path], Any],
    tree_of: Callable[[Any, str], list[Any]],
    tmp_path: Path,
) -> None:
    environment = surroundings | {"SYNAUG_HOME": str(tmp_path / "home")}

    def run(runner: str) -> Any:
        out = tmp_path / f"{runner}.json"
        options = ("--set", f"compute.runner={runner}", "--set", "compute.workers=2", "--json", out)
        line = command("run", write(tiny()), *options)
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert not done.stdout.count("distributed")
        return json.loads(out.read_text())

    dask, [recorded] = run("dask"), tree_of(client_of(tmp_path / "home"), "tiny")
    for key in ("arms", "dataset", "best_arm", "verdict", "sentence", "contrasts", "promotion", "steps"):
        assert dask[key] == first.outcome[key], key
    assert dask["cached_steps"] == 0
    assert {r.info.status for r in recorded.all()} == {"FINISHED"}

    def bytes_of(run: Any) -> dict[tuple[str, str, str], bytes]:
        return {
            (r.stage, r.info.run_name, str(path.relative_to(r.place))): path.read_bytes()
            for r in run.all()
            for path in r.place.rglob("*")
            if path.suffix in (".parquet", ".safetensors")
        }

    mine, theirs = bytes_of(recorded), bytes_of(first.run)
    assert sum(path == "predictions/test.parquet" for _, _, path in mine) == 6
    assert mine == theirs

    threads = run("threads")
    assert threads["run_id"] == dask["run_id"]
    assert threads["cached_steps"] == threads["steps"] == dask["steps"]
    assert threads["arms"] == dask["arms"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_a_training_it_leaves_no_process_and_goes_on_later(
    number: signal.Signals,
    tiny: Callable[..., dict[str, Any]],
    write: Callable[..., Path],
    command: Callable[..., list[str]],
    surroundings: dict[str, str],
    client_of: Callable[[Path], Any],
    tree_of: Callable[[Any, str], list[Any]],
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    environment = surroundings | {"SYNAUG_HOME": str(home)}
    long = {"steps": 200_000, "evaluate_every": 100, "patience": 200_000}
    compute = {"runner": "dask", "workers": 2}
    config = tiny("stopped", arms=["control", "combined"], classifier=long, tuning={"trials": 0}, compute=compute)
    line = command("run", write(config))
    log = tmp_path / "err"
    with log.open("w") as errors:
        running = subprocess.Popen(
            line, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        try:
            end = time.monotonic() + 300
            while not list((home / "checkpoints").glob("*.pt")) and time.monotonic() < end:
                assert running.poll() is None, log.read_text()
                time.sleep(0.1)
            begun = time.monotonic()
            if number == signal.SIGINT:  # Ctrl-C reaches every process of the terminal
                os.killpg(running.pid, number)
            else:
                os.kill(running.pid, number)
            assert running.wait(20) == (1 if number == signal.SIGINT else -number if number == signal.SIGKILL else 1)
            assert time.monotonic() - begun < 8, "five seconds, and what the interpreter needs to end"
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while left(home) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left(home)
    if number != signal.SIGKILL:
        assert "run the same command again" in log.read_text()
        assert "Traceback" not in log.read_text()
        statuses = {r.info.status for r in tree_of(client_of(home), "stopped")[0].all()}
        assert "RUNNING" not in statuses


def left(home: Path) -> set[int]:
    mark, found = f"SYNAUG_HOME={home}".encode(), set()
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdecimal() and mark in (place / "environ").read_bytes().split(b"\0"):
                found.add(int(place.name))
        except OSError:
            continue
    return found
