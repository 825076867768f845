"""Faults that need more than one command, or something else than a spoilt answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synaug_core.errors import SynaugError
from synaug_core.services.settings import Settings, settings
from tests.faults.scene import Fresh, Scene, Whole
from tests.faults.servers import BUCKET, Servers, client
from tests.faults.test_runs import fill, small_disk
from tests.processes import processes_of
from tests.s3.faults import Fault

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]
Note = Callable[[str, str, str, float], None]


def called(name: str) -> pytest.MarkDecorator:
    """Gives a test the name of its line in the table, so that `-k` finds it."""
    return pytest.mark.parametrize("name", [name])


@pytest.mark.parametrize("homes", [1, 2], ids=["twice-1", "twice-2"])
def test_two_retrainings_of_one_data_set_at_once(
    homes: int, scene: Callable[..., Scene], undisturbed: Callable[[bool], Whole], account: Note
) -> None:
    whole, one, begun = undisturbed(False), scene(f"twice-{homes}"), time.monotonic()
    first = one.start()
    second = one.start("--json", one.folder / "second.json", home=one.folder / "second" if homes == 2 else None)
    codes = sorted([first.wait(600), second.wait(600)])
    said = "both ended well"
    if codes != [0, 0]:
        assert codes == [0, 1], first.text() + second.text()
        said = (second if second.code else first).one_line()
        again = one.start()
        assert again.wait() == 0, again.text()
        said = f"one ended well, the other said: {said}; the next run ended well"
    assert not whole.differences(one.whole()), whole.differences(one.whole())
    where = "in one home" if homes == 1 else "in two homes, as on two machines"
    account(f"twice-{homes}", f"two retrainings of one data set at once, {where}", said, time.monotonic() - begun)


@called("half-results")
def test_half_written_results(
    name: str, scene: Callable[..., Scene], undisturbed: Callable[[bool], Whole], account: Note
) -> None:
    """A result that Prefect did not finish to write is no result."""
    whole, one, begun = undisturbed(False), scene(name), time.monotonic()
    running = one.start()
    running.wait_for_steps("training", 1)
    running.kill()
    running.wait()
    files = sorted((one.home / "prefect" / "storage").glob("*"))
    assert len(files) > 4
    for number, file in enumerate(files):
        os.truncate(file, 0 if number % 2 else file.stat().st_size // 2)
    again = one.start()
    assert again.wait() == 0, again.text()
    assert not whole.differences(one.whole()), whole.differences(one.whole())
    third = one.start()
    assert third.wait() == 0, third.text()
    outcome = json.loads(one.json.read_text())
    assert outcome["cached_steps"] == outcome["steps"]
    account(
        name, "kill -9 of the flow, and every kept result of a step is cut in half or empty",
        "killed; the next run ended well", time.monotonic() - begun,
    )  # fmt: skip


@called("prefect-embedded")
def test_the_embedded_prefect_server_is_killed(
    name: str, scene: Callable[..., Scene], undisturbed: Callable[[bool], Whole], account: Note
) -> None:
    whole, one, begun = undisturbed(False), scene(name), time.monotonic()
    one.zygote = Fresh(one.zygote.environment)
    running = one.start(PREFECT_API_URL="")
    running.wait_for_steps("dataset", 1)
    [child] = processes_of(one.home) - {running.pid}
    os.kill(child, signal.SIGKILL)
    code = running.wait(400)
    assert code == 1, running.text()
    said = running.one_line()
    assert "Prefect" in said, said
    again = one.start(PREFECT_API_URL="")
    assert again.wait(400) == 0, again.text()
    assert not whole.differences(one.whole()), whole.differences(one.whole())
    account(
        name, "kill -9 of the Prefect server that a run has started for itself",
        f"{said.partition(' (log')[0]}; the next run ended well", time.monotonic() - begun,
    )  # fmt: skip


def test_a_worker_is_killed(
    scene: Callable[..., Scene], undisturbed: Callable[[bool], Whole], servers: Servers, account: Note
) -> None:
    """The worker and the process that it started for the run."""
    whole, one, begun = undisturbed(False), scene("worker"), time.monotonic()
    one.home.mkdir(parents=True)
    one.write()
    said = one.command("deploy", one.config_file)
    assert said.wait() == 0, said.text()
    environment = {**one.zygote.environment, **one.environment, "PREFECT_HOME": str(one.home / "prefect")}
    program = [sys.executable, "-m", "prefect"]
    hit = threading.Event()

    def kill() -> None:
        worker.kill()
        for pid in processes_of(one.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        hit.set()

    with (one.folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [*program, "worker", "start", "--pool", "synaug", "--type", "process"],
            env=environment, stdout=log, stderr=log, cwd=one.folder, start_new_session=True,
        )  # fmt: skip
        try:
            servers.s3.plan.append(Fault("pass", 1, lambda method, path: "weights.safetensors" in path, kill))
            started = subprocess.run(
                [*program, "deployment", "run", f"retrain/{one.name}"],
                env=environment, capture_output=True, text=True, cwd=one.folder,
            )  # fmt: skip
            assert started.returncode == 0, started.stdout + started.stderr
            assert hit.wait(600), (one.folder / "worker.log").read_text()
        finally:
            worker.kill()
            worker.wait()
    one.check_results()
    again = one.start()
    assert again.wait(400) == 0, again.text()
    now = one.whole(prefect=False)  # Prefect's own record of that run is closed by an automation, minutes later
    assert not whole.differences(now), whole.differences(now)
    account(
        "worker", "kill -9 of a worker and of the run that it has started",
        "killed; the next run ended well", time.monotonic() - begun,
    )  # fmt: skip


@called("images-killed")
def test_killed_while_images_are_fetched(
    name: str, scene: Callable[..., Scene], servers: Servers, place: Callable[[bool], Settings], account: Note
) -> None:
    """Only what is missing is fetched the next time."""
    from synaug_core.services.s3.mirror import mirrored

    begun, rng, images = time.monotonic(), np.random.default_rng(2), {}
    s3 = client(servers.store.server)
    one = scene(name, config={"data": {"source": f"s3://{BUCKET}/images-killed/pets"}})
    one.folder.mkdir(parents=True)
    for number in range(60):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(one.folder / "one.png")
        images[f"{'cat' if number % 2 else 'dog'}/{number:02}.png"] = (one.folder / "one.png").read_bytes()
    for key, body in images.items():
        s3.put_object(Bucket=BUCKET, Key=f"images-killed/pets/{key}", Body=body)
    running = one.start()
    count = [0]

    def fortieth(method: str, path: str) -> bool:
        count[0] += method == "GET" and "/pets/" in path
        return count[0] >= 40

    servers.s3.plan.append(Fault("pass", 1, fortieth, running.kill))
    assert running.wait() == -9, running.text()
    place(False)
    os.environ["SYNAUG_HOME"] = str(one.home)  # `place` puts it back
    with mirrored(f"s3://{BUCKET}/images-killed/pets", settings()) as mirror:
        found = {p.relative_to(mirror.path).as_posix(): p.read_bytes() for p in mirror.path.rglob("*.png")}
        fetched = mirror.fetched
    assert found == images
    assert 0 < fetched < 40, fetched
    account(
        name, "kill -9 of the flow at the 40th of 60 images from S3",
        f"killed; the next run fetches {fetched} images", time.monotonic() - begun,
    )  # fmt: skip


@called("disk-images")
def test_a_small_disk_and_many_images(
    name: str, scene: Callable[..., Scene], servers: Servers, place: Callable[[bool], Settings], account: Note
) -> None:
    from synaug_core.services.s3.mirror import mirrored

    begun, one = time.monotonic(), scene(name)
    client(servers.store.server).put_object(Bucket=BUCKET, Key="disk-images/pets/cat/one.png", Body=b"x" * 2000)
    place(False)
    os.environ["SYNAUG_HOME"] = str(one.home)  # `place` puts it back
    with small_disk(one):
        with pytest.raises(SynaugError) as caught, mirrored(f"s3://{BUCKET}/disk-images/pets", settings()):
            raise AssertionError("it was mirrored")
        assert "make room" in str(caught.value)
        assert not [p for p in (one.home / "mirrors").rglob("*.png") if "files" in p.parts]
    with mirrored(f"s3://{BUCKET}/disk-images/pets", settings()) as mirror:
        assert mirror.fetched == 1
    said = str(caught.value).replace(str(one.home), "HOME")
    account(name, "no room for the images that are to be fetched", f"{said}; then it succeeds",
            time.monotonic() - begun)  # fmt: skip


@called("disk-artifact")
def test_a_full_disk_and_an_artifact(
    name: str, scene: Callable[..., Scene], place: Callable[[bool], Settings], tmp_path: Path, account: Note
) -> None:
    """Half an artifact on a full disk is none in the cache."""
    from synaug_core.refs import Reference
    from synaug_core.services.mlflow.artifacts import fetch, put_file
    from synaug_core.services.mlflow.runs import open_run

    begun, one = time.monotonic(), scene(name)
    place(False)
    os.environ["SYNAUG_HOME"] = str(one.home)  # `place` puts it back
    large = tmp_path / "large.bin"
    large.write_bytes(np.random.default_rng(1).bytes(3_000_000))
    with small_disk(one):
        run = open_run(settings(), experiment="parts/disk-artifact", key="k", stage="step", name="step")
        uri, sha256 = put_file(run, large, "large.bin")
        reference = Reference(uri=uri, sha256=sha256, run_id=run.run_id)
        filler = fill(one.home)
        os.truncate(filler, filler.stat().st_size - 1_000_000)
        with pytest.raises(SynaugError) as caught:
            fetch(reference)
        said = str(caught.value)
        assert len(said.splitlines()) == 1
        assert "MB are free on the disk of" in said, said
        assert not list(settings().cache.glob("[!.]*"))
        filler.unlink()
        assert fetch(reference).read_bytes() == large.read_bytes()
    account(name, "the disk is full while an artifact is fetched", "one line; the next try succeeds",
            time.monotonic() - begun)  # fmt: skip


def test_two_promotions_at_once(servers: Servers, place: Callable[[bool], Settings], account: Note) -> None:
    """One wins, the other is told; while PostgreSQL is killed and comes back."""
    from synaug_core.services.mlflow.clients import client as mlflow_client
    from synaug_core.services.mlflow.runs import open_run
    from synaug_core.services.models import registry
    from tests.versions import add_version

    begun = time.monotonic()
    place(False)
    run = open_run(settings(), experiment="parts/promotions", key="k", stage="step", name="step")
    versions = [add_version(settings(), "promotions", run, key).version for key in "ab"]
    seen = [0]

    def third(method: str, path: str) -> bool:
        seen[0] += "mlflow" in path
        return seen[0] >= 3

    timer = threading.Timer(2.0, servers.database.heal)

    def kill() -> None:
        servers.database.kill()
        timer.start()

    servers.mlflow_proxy.plan.append(Fault("pass", 1, third, kill))
    os.environ["MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"] = "1"  # `place` puts it back
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "7"

    def promote(version: str) -> str:
        try:
            registry.promote(settings(), "promotions", version, expected=None)
        except registry.ChampionChangedError as error:
            return str(error)
        return ""

    try:
        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(promote, versions))
    finally:
        timer.join()
        servers.heal()
    assert sorted(map(bool, told)) == [False, True], told
    winner = versions[told.index("")]
    found = mlflow_client(settings()).get_registered_model("promotions")
    assert str(found.aliases["champion"]) == winner
    assert [r.version for r in registry.champion_periods(settings(), "promotions")] == [winner]
    account("promotions", "two promotions at once, and kill -9 of PostgreSQL, back after 2 s",
            f"one wins, the other: {max(told)}", time.monotonic() - begun)  # fmt: skip
