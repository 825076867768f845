"""`synaug serve` as a user starts it: a process of its own on a free port, asked over HTTP."""

from __future__ import annotations

import errno
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from synaug_core.data.scaling import Preprocessing
from synaug_core.services.mlflow.runs import recording
from synaug_core.services.models import registry
from synaug_core.services.models.exported import log_model
from synaug_core.services.settings import Settings, settings
from tests.classifiers import picture_files, saved_classifier
from tests.environments import without_services

CLASSES = ("a", "Ä b", "EOSINOPHIL")
NAME = "synaug-cells"
TOKEN = "planted-token-0123456789"


@dataclass(frozen=True)
class Store:
    settings: Settings
    pictures: list[Path]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two versions that say different things, none of them champion."""
    folder = tmp_path_factory.mktemp("serve")
    pictures = picture_files(folder, 3)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "SYNAUG_SERVE_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("SYNAUG_HOME", str(folder / "home"))
        current = settings()
        for seed in (1, 2):
            saved_classifier(folder / str(seed), CLASSES, seed)
            with recording(current, experiment="synaug/cells", key=str(seed), stage="retrain", name="r") as run:
                uri = log_model(
                    run.run, folder / str(seed), pictures[0].read_bytes(), CLASSES, Preprocessing(fit="pad")
                )
            registry.register(current, NAME, model_uri=uri, run=run.run, key=str(seed))
        yield Store(current, pictures)


class Process:
    def __init__(self, root: Path, store: Store, *options: str, **variables: str) -> None:
        self.folder = store.settings.home.parent
        self.out = self.folder / f"out-{time.monotonic_ns()}"
        code = "from synaug.cli.main import run_app; run_app()"
        command = [sys.executable, "-c", code, "serve", NAME, "--port", "0", "--poll", "0.2", *options]
        own = {"SYNAUG_HOME": str(store.settings.home), "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}
        with self.out.open("wb") as output:
            self.process = subprocess.Popen(
                command, env={**without_services(), **own, **variables}, stdout=output, stderr=output, cwd=self.folder
            )
        self.wait_for(lambda: "Ctrl-C ends it." in self.said)
        self.url = self.said[self.said.index("http://") :].split()[0]

    @property
    def said(self) -> str:
        return self.out.read_text()

    def wait_for(self, what: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.05)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(sign)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def service(root: Path, store: Store) -> Iterator[Process]:
    process = Process(root, store, "--log", "images")
    yield process
    if process.process.poll() is None:
        process.stop()


def files(*images: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{i}.png", data)) for i, data in enumerate(images)]


def test_from_no_model_to_one(service: Process, store: Store, synaug: Callable[..., Any], monkeypatch: Any) -> None:
    monkeypatch.setenv("SYNAUG_HOME", str(store.settings.home))
    service.wait_for(lambda: "has no champion" in service.said)
    health = httpx.get(f"{service.url}health")
    assert (health.status_code, health.json()["status"]) == (503, "not ready")
    assert httpx.post(f"{service.url}predict", files=files(b"x")).status_code == 503
    assert synaug("models", "promote", NAME, "1").code == 0
    service.wait_for(lambda: httpx.get(f"{service.url}health").status_code == 200)
    # the same as the command, to the sixth digit
    command = json.loads(synaug("predict", NAME, *store.pictures, "--json").out)
    answer = httpx.post(f"{service.url}predict", files=files(*[p.read_bytes() for p in store.pictures])).json()
    assert answer["model"] == {"name": NAME, "version": "1", "alias": "champion"}
    for mine, theirs in zip(answer["images"], command, strict=True):
        assert mine["class"] == theirs["class"]
        assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)


def test_promotion_under_load_fails_no_request(service: Process, store: Store) -> None:
    registry.promote(store.settings, NAME, "1")
    service.wait_for(lambda: httpx.get(f"{service.url}health").json().get("version") == "1")
    image = store.pictures[0].read_bytes()
    ended = threading.Event()
    seen: list[tuple[int, str, float]] = []

    def ask() -> None:
        with httpx.Client(timeout=60) as client:
            while not ended.is_set():
                answer = client.post(f"{service.url}predict", files=files(image, image))
                found = answer.json()
                version = found["model"]["version"] if answer.status_code == 200 else answer.text
                first = [row["probability"] for row in found.get("images", [])]
                assert len(set(first)) <= 1  # one version answers a whole request
                seen.append((answer.status_code, version, first[0] if first else 0.0))

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask) for _ in range(4)]
        try:
            for version in ("2", "1", "2"):
                before = len(seen)
                registry.promote(store.settings, NAME, version)
                service.wait_for(lambda v=version, b=before: any(s[1] == v for s in seen[b:]))
        finally:
            ended.set()
    for one in asked:
        one.result()
    assert {status for status, _, _ in seen} == {200}
    assert len(seen) > 20
    said = {version: {round(p, 6) for _, v, p in seen if v == version} for version in ("1", "2")}
    assert [len(found) for found in said.values()] == [1, 1]  # never something in between
    assert said["1"] != said["2"]


def raw(service: Process, data: bytes, wait: float = 10.0) -> bytes:
    """What the service answers to these bytes on the wire."""
    host, _, port = service.url.removeprefix("http://").rstrip("/").partition(":")
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        found = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                found += part
        except OSError as error:  # it may hang up before all is sent
            if not isinstance(error, ConnectionError) and error.errno != errno.ENOTCONN:
                raise
    return found


def test_hostile_requests_leave_it_standing(service: Process, store: Store) -> None:
    parts = b"".join(b"--XX\r\nContent-Disposition: form-data; name=a; filename=a\r\n\r\nx\r\n" for _ in range(10_000))
    kind = {"content-type": "multipart/form-data; boundary=XX"}
    huge = httpx.post(f"{service.url}predict", content=bytes(40_000_000), headers={"content-type": "image/png"})
    for answer, status in [
        (httpx.post(f"{service.url}predict", content=parts + b"--XX--", headers=kind), 413),
        (huge, 413),
        (httpx.post(f"{service.url}predict", content=parts[:-5], headers=kind), 413),
        (httpx.post(f"{service.url}predict", content=b"--XX\r\n", headers=kind), 400),
        (httpx.post(f"{service.url}predict", files=files(b"<svg/>")), 422),
        (httpx.post(f"{service.url}predict", content=b"a=b"), 415),
    ]:
        assert answer.status_code == status, answer.text
        assert len(answer.json()["error"].splitlines()) == 1
    for data, status in [
        (b"GET / HTTP/9.9\r\n\r\n", b"421"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n", b""),
        (b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999999999999\r\n\r\n", b"413"),
        (b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\nContent-Type: image/png\r\n\r\nabc", b""),
        (b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b""),
    ]:
        found = raw(service, data)
        assert b"Traceback" not in found
        assert not status or found.split()[1] == status, found
    assert httpx.post(f"{service.url}predict", files=files(store.pictures[0].read_bytes())).status_code == 200
    assert "Traceback" not in service.said


def test_the_page_shows_what_the_service_says(service: Process, store: Store, chromium: Any, tmp_path: Path) -> None:
    browser = chromium()
    browser.open(service.url)
    browser.until("document.getElementById('model').textContent.startsWith('synaug-cells, version ')")
    document = browser.call("DOM.getDocument")["root"]["nodeId"]
    chosen = browser.call("DOM.querySelector", nodeId=document, selector="#files")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=chosen, files=[str(p) for p in store.pictures[:2]])
    browser.until("document.querySelectorAll('article').length === 2")
    browser.until("[...document.images].every(i => i.complete && i.naturalWidth === 40)")
    said = httpx.post(f"{service.url}predict", files=files(store.pictures[0].read_bytes())).json()["images"][0]
    shown = browser.evaluate("[...document.querySelectorAll('article')].pop().innerText")
    assert said["class"] in shown
    assert f"{100 * said['probability']:.1f} %" in shown
    assert "picture 0.png" in shown
    browser.picture(tmp_path / "page.png")
    (tmp_path / "<b>text.png").write_text("no image")
    browser.call("DOM.setFileInputFiles", nodeId=chosen, files=[str(tmp_path / "<b>text.png")])
    trouble = browser.until("document.getElementById('trouble').textContent")
    assert "<b>text.png" in trouble
    assert "not a JPEG, PNG" in trouble
    blocked = [line for line in browser.logged if "422" not in line]  # nothing that the page's own policy refused
    assert blocked == []
    for width in (360, 1000):
        browser.picture(tmp_path / f"{width}.png", width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_it_ends_in_order_and_has_kept_what_it_saw(service: Process, store: Store) -> None:
    registry.promote(store.settings, NAME, "1")
    service.wait_for(lambda: httpx.get(f"{service.url}health").status_code == 200)
    answer = httpx.post(f"{service.url}predict", files=files(*[p.read_bytes() for p in store.pictures]))
    assert answer.status_code == 200, answer.text
    assert service.stop(signal.SIGINT) == 0
    assert service.said.endswith("stopped\n")
    assert "Traceback" not in service.said
    from synaug_core.serving.log import log_folder, read_recent

    found = read_recent(log_folder(store.settings, NAME), most=100)
    assert len(found) == 3  # the pictures; equal ones count once
    assert {kept.pixels.shape for kept in found if kept.pixels is not None} == {(3, 16, 16)}


def test_a_token_is_never_written(root: Path, store: Store) -> None:
    registry.promote(store.settings, NAME, "1")
    service = Process(root, store, "--host", "0.0.0.0", SYNAUG_SERVE_TOKEN=TOKEN)
    url = service.url.replace("0.0.0.0", "127.0.0.1")
    service.wait_for(lambda: httpx.get(f"{url}health").status_code == 200)
    image = files(store.pictures[0].read_bytes())
    assert httpx.post(f"{url}predict", files=image).status_code == 401
    right = {"authorization": f"Bearer {TOKEN}"}
    assert httpx.post(f"{url}predict", files=image, headers=right).status_code == 200
    assert service.stop() == 0
    kept = [service.out, *(p for p in store.settings.home.rglob("*") if p.is_file())]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_what_cannot_be_served(synaug: Callable[..., Any], store: Store, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNAUG_HOME", str(store.settings.home))
    (tmp_path / "token").write_text("short")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, reason in [
            (("x", "--host", "0.0.0.0"), "give --token-file"),
            (("x", "--token-file", tmp_path / "token"), "16 to 4096 characters"),
            (("x", "--token-file", tmp_path / "none"), "cannot be read (no such file or directory)"),
            (("x@best",), "there is no alias 'best'; aliases are champion, challenger, previous"),
            (("x@7",), "not version 7; `synaug models promote x 7` makes it champion"),
            (("/some/folder",), "is not the name of a registered model"),
            (("x", "--port", str(port)), "cannot be listened at (address already in use)"),
            (("x", "--device", "tpu-9"), "is no device"),
        ]:
            said = synaug("serve", *arguments)
            assert said.code == 2, said
            assert reason in said.err
            assert len(said.err.splitlines()) == 1
