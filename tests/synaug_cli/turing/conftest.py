"""A store with a retraining whose images can be shown, and a headless Chromium, driven by its own protocol."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from synaug_core.config import ArmConfig, SynthesisConfig
from synaug_core.data import parquet
from synaug_core.data.imageset import ImageSet
from synaug_core.refs import RunRef
from synaug_core.services.settings import Settings, settings
from synaug_core.services.tracking import adopt, recording

EXPERIMENT = "synaug/cells"
CLASSES = ("EOSINOPHIL", "Ä <b>&", "../../etc", "never made")


def images_of(counts: dict[str, int], *, synthetic: bool, size: int = 12) -> ImageSet:
    """Bright images are synthetic, dark ones real: whoever looks can tell."""
    labels = torch.tensor([CLASSES.index(c) for c, n in counts.items() for _ in range(n)], dtype=torch.int64)
    n = len(labels)
    draw = torch.Generator().manual_seed(int(synthetic))
    pixels = torch.randint(0, 90, (n, 3, size, size), dtype=torch.uint8, generator=draw)
    kind = "made" if synthetic else "real"
    parents = [f"real {i}" for i in range(2)]
    return ImageSet(
        images=pixels + 150 if synthetic else pixels,
        labels=labels,
        classes=CLASSES,
        ids=tuple(f"{kind} {i}" for i in range(n)),
        groups=tuple(f"{kind} {i}" for i in range(n)),
        provenance=(json.dumps({"generator": "vae", "parents": parents} if synthetic else {"source": "x"}),) * n,
    )


@dataclass(frozen=True)
class Store:
    """Ids of the runs of one retraining with two arms, one that reuses its images, one in two folds, an empty one."""

    home: Path
    settings: Settings
    train: ImageSet
    top: str
    synthesis: tuple[str, ...]
    arms: dict[str, str]
    reusing: str
    reused: str
    folds: str
    fold: str
    empty: str
    orphan: str


def arm(name: str, *, multiple: float, strategy: str = "interpolate") -> ArmConfig:
    return ArmConfig(name=name, synthesis=SynthesisConfig(strategy=strategy, multiple=multiple))


def write_store(current: Settings, folder: Path) -> Store:
    train = images_of({CLASSES[0]: 8, CLASSES[1]: 6, CLASSES[2]: 3, CLASSES[3]: 2}, synthetic=False)
    other = images_of({CLASSES[0]: 5, CLASSES[1]: 5}, synthetic=False)
    made = [images_of({CLASSES[0]: 9}, synthetic=True), images_of({CLASSES[1]: 9, CLASSES[2]: 9}, synthetic=True)]
    none = images_of({}, synthetic=True)
    arms = [
        arm("weak", multiple=1.0),
        arm("strong", multiple=2.0),
        arm("void", multiple=3.0),
        arm("copies", multiple=1.0, strategy="duplicate"),
        ArmConfig(name="original"),
    ]
    scores = {"weak": 0.6, "strong": 0.7, "void": 0.1, "copies": 0.9, "original": 0.95}

    def run(key: str, stage: str, parent: RunRef | None = None, **tags: str) -> Any:
        return recording(
            current, experiment=EXPERIMENT, key=key, stage=stage, name=f"{stage} {key}", parent=parent, tags=tags
        )

    def put(recorder: Any, images: ImageSet, path: str, split: str) -> None:
        local = folder / f"{recorder.run.run_id}.parquet"
        parquet.write(images, local, split=split)
        recorder.file(local, path)

    def synthesise(key: str, one: ArmConfig, images: ImageSet, parent: RunRef) -> str:
        assert one.synthesis is not None
        with run(key, "synthesis", parent) as recorder:
            put(recorder, images, "images/synthetic.parquet", "synthetic")
            recorder.params(one.synthesis.model_dump() | {"classes": "some"})
        return str(recorder.run.run_id)

    def train_arms(parent: RunRef) -> dict[str, str]:
        ids = {}
        for one in arms:
            with run(f"arm/{one.name}", "arm", parent, **{"synaug.arm": one.name}) as recorder:
                recorder.params(one.model_dump())
                recorder.metrics({"val/balanced_accuracy": scores[one.name]})
            ids[one.name] = recorder.run.run_id
        return ids

    with run("top", "retrain", **{"synaug.dataset": "cells"}) as top:
        with run("data", "dataset", top.run) as dataset:
            put(dataset, train, "images/train.parquet", "train")
        strong = tuple(synthesise(f"s{i}", arms[1], images, top.run) for i, images in enumerate(made))
        weak = synthesise("w", arms[0], made[0], top.run)
        synthesise("v", arms[2], none, top.run)
        synthesise("c", arms[3], made[0], top.run)
        ids = train_arms(top.run)
    with run("again", "retrain") as again:
        for run_id in (dataset.run.run_id, *strong):
            reused = adopt(run_id, again.run).run_id
        train_arms(again.run)
    with run("cross", "retrain") as cross:
        with run("data", "dataset", cross.run) as folded:
            for number, images in enumerate((train, other)):
                put(folded, images, f"fold-{number}/images/train.parquet", "train")
        for number in range(2):
            with run(f"fold/{number}", "fold", cross.run) as fold:
                synthesise("s", arms[1], made[0], fold.run)
        train_arms(cross.run)
    with run("nothing", "retrain") as nothing, run("alone", "synthesis") as orphan:
        put(orphan, made[0], "images/synthetic.parquet", "synthetic")
    return Store(
        home=current.home, settings=current, train=train, top=top.run.run_id, synthesis=(*strong, weak), arms=ids,
        reusing=again.run.run_id, reused=reused, folds=cross.run.run_id, fold=fold.run.run_id,
        empty=nothing.run.run_id, orphan=orphan.run.run_id,
    )  # fmt: skip


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("turing")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("SYNAUG_HOME", str(folder / "home"))
        return write_store(settings(), folder)


@pytest.fixture
def at_store(store: Store, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store, named by the environment, without answers; other tests' empty `home` gives way."""
    assert home != store.home
    monkeypatch.setenv("SYNAUG_HOME", str(store.home))
    yield store
    shutil.rmtree(store.home / "turing", ignore_errors=True)


class Chromium:
    """One page of a headless Chromium."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self.logged: list[str] = []
        self._loads = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told: dict[str, Any] = json.loads(self._socket.recv(timeout=60))
            if told.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.logged.append(json.dumps(told["params"]))
            self._loads += told.get("method") == "Page.loadEventFired"
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]  # type: ignore[no-any-return]

    def evaluate(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 30) -> Any:
        end = time.monotonic() + seconds
        while not (found := self.evaluate(expression)):
            assert time.monotonic() < end, f"never true: {expression}; {self.logged}"
            time.sleep(0.02)
        return found

    def open(self, url: str) -> None:
        before, end = self._loads, time.monotonic() + 30
        self.call("Page.navigate", url=url)
        while self._loads == before:  # the page before may still answer
            assert time.monotonic() < end, f"{url} does not load"
            self.call("Browser.getVersion")
            time.sleep(0.02)

    def press(self, key: str) -> None:
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        code = {"ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "Tab": 9}.get(key, ord(key[0].upper()))
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def picture(self, path: Path, width: int = 1000, height: int = 800, full: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        data = self.call("Page.captureScreenshot", captureBeyondViewport=full)["data"]
        path.write_bytes(base64.b64decode(data))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Chromium]]:
    """Opens new pages; skips where there is no Chromium."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    client = pytest.importorskip("websockets.sync.client")
    if program is None:
        pytest.skip("no Chromium here")
    folder = tmp_path_factory.mktemp("chromium")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *options, f"--user-data-dir={folder}", "about:blank"], stderr=log)
    try:
        end, port = time.monotonic() + 60, folder / "DevToolsActivePort"
        while not (port.exists() and len(port.read_text().split()) == 2):
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        number = port.read_text().split()[0]
        with contextlib.ExitStack() as opened:

            def page() -> Chromium:
                browser = opened.enter_context(
                    client.connect(f"ws://127.0.0.1:{number}{port.read_text().split()[1]}", max_size=None)
                )
                browser.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
                while (told := json.loads(browser.recv(timeout=60))).get("id") != 1:
                    pass
                address = f"ws://127.0.0.1:{number}/devtools/page/{told['result']['targetId']}"
                return Chromium(opened.enter_context(client.connect(address, max_size=None)))

            yield page
    finally:
        process.terminate()
        process.wait(timeout=20)
