"""Whole retrainings to which something happens: they end well, or with one line and well the next time."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scene import Running, Scene, Whole
from tests.faults.table import KILLED, ONE_LINE, RECOVERS, RUN_FAULTS, Request, RunFault
from tests.s3.faults import Fault

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


class Acts:
    """What can be done to a run."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.later: list[threading.Timer] = []
        self.running: Running | None = None
        self.done = threading.Event()

    def do(self, act: str, given: dict[str, Any]) -> None:
        getattr(self, act.replace(" ", "_"))(**given)
        self.done.set()

    def kill_flow(self) -> None:
        while self.running is None:
            time.sleep(0.01)
        self.running.kill()

    def kill_server(self, name: str, back: float | None = None) -> None:
        server = getattr(self.scene.servers, name)
        server.kill()
        if back is not None:
            self.later.append(threading.Timer(back, server.heal))
            self.later[-1].start()

    def change_keys(self) -> None:
        self.scene.servers.store.change_secret("another-secret")

    def fill_disk(self) -> None:
        fill(self.scene.home)

    def undo(self) -> None:
        """The world is as it was."""
        for timer in self.later:
            timer.join()
        (self.scene.home / "filler").unlink(missing_ok=True)
        store = self.scene.servers.store
        if "another-secret" in (store.home / "etc" / "proxy.conf").read_text():
            store.change_secret(store.server.secret)
        self.scene.servers.heal()


def fill(folder: Path) -> Path:
    """Write the rest of a disk full."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**14))
    return filler


@contextlib.contextmanager
def small_disk(scene: Scene) -> Iterator[None]:
    """SYNAUG_HOME on a file system of 48 MB."""
    scene.home.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(scene.home)], capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(scene.home)], check=True)


def inject(fault: RunFault, scene: Scene, acts: Acts) -> None:
    """Have it happen at its moment."""
    if isinstance(fault.when, Request):
        when, seen = fault.when, [0]

        def here(method: str, path: str) -> bool:
            seen[0] += when.method in ("", method) and when.part in path
            return seen[0] >= when.number

        proxy = scene.servers.s3 if when.whose == "s3" else scene.servers.mlflow_proxy
        proxy.plan.append(Fault("pass", 1, here, lambda: acts.do(fault.act, fault.given)))
        acts.running = scene.start(**fault.variables)
    else:
        acts.running = scene.start(**fault.variables)
        acts.running.wait_for_steps(fault.when.stage, fault.when.number)
        time.sleep(fault.when.seconds)
        acts.do(fault.act, fault.given)


@pytest.mark.parametrize("fault", RUN_FAULTS, ids=lambda f: f.id)
def test_fault(
    fault: RunFault,
    scene: Callable[..., Scene],
    undisturbed: Callable[[bool], Whole],
    account: Callable[..., None],
) -> None:
    whole = undisturbed(fault.direct)
    one = scene(fault.id, direct=fault.direct)
    acts, begun = Acts(one), time.monotonic()
    with small_disk(one) if fault.act == "fill disk" else contextlib.nullcontext():
        try:
            inject(fault, one, acts)
            assert acts.running is not None
            code = acts.running.wait(400)
            # What a request sets off goes on in a thread of the proxy, whose errors nobody sees.
            assert acts.done.wait(60), f"{fault.act!r} did not happen:\n{acts.running.text()}"
        finally:
            acts.undo()
        if fault.expected == RECOVERS:
            assert code == 0, acts.running.text()
            said = "ended well"
        else:
            if fault.expected == KILLED:
                assert code == -9, acts.running.text()
                said = "killed"
            else:
                assert fault.expected == ONE_LINE
                assert code in (1, 2), acts.running.text()
                said = acts.running.one_line()
                assert fault.says.lower() in said.lower(), said
            one.check_results()
            again = one.start()
            assert again.wait() == 0, again.text()
            said += "; the next run ended well"
        now = one.whole()
    assert not whole.differences(now), whole.differences(now)
    account(fault.id, fault.what, said, time.monotonic() - begun)
