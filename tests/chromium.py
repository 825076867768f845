"""A headless Chromium for tests that look at pages, driven by its own protocol."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync import client


class Chromium:
    """One page of a headless Chromium, asked by its own protocol."""

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
                result: dict[str, Any] = told["result"]
                return result

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

    def show(self, path: Path, width: int, media: str = "screen") -> None:
        """A file in a window of some width, as on a screen or as on paper."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setEmulatedMedia", media=media)
        self.open(path.as_uri())

    def pdf(self, width: float, height: float) -> bytes:
        """The open page on paper of so many inches."""
        printed = self.call("Page.printToPDF", paperWidth=width, paperHeight=height, preferCSSPageSize=False)
        return base64.b64decode(printed["data"])

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
