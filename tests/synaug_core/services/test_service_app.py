"""The service's pages on a real registry, without a socket in between."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import logging
import sqlite3
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from synaug_core.classify.build import build
from synaug_core.classify.history import History
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.config import ClassifierConfig
from synaug_core.data.decode import load_square
from synaug_core.errors import UserError
from synaug_core.services import registry, service_app
from synaug_core.services.clients import client
from synaug_core.services.service_app import Service
from synaug_core.services.service_log import PredictionLog
from synaug_core.services.service_model import Holder
from synaug_core.services.service_options import ServiceOptions, read_token
from synaug_core.services.serving import log_model
from synaug_core.services.settings import Settings, settings
from synaug_core.services.tracking import open_run

CLASSES = ('say "a\\b"', "Ä b", "EOSINOPHIL")
NAME = "synaug-test"
TOKEN = "a-token-that-is-long-enough"


def picture(seed: int, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Two classifiers that say different things."""
    found = {}
    for seed in (1, 2):
        config = ClassifierConfig(width=4)
        model = build(config, channels=3, size=16, classes=CLASSES, seed=seed, mean=(0.5,) * 3, std=(0.2,) * 3)
        found[seed] = tmp_path_factory.mktemp("trained") / "classifier"
        history = History(evaluations=(), best_step=0, stopped_at=0, ended="all steps")
        TrainedClassifier(model, config, CLASSES, 3, 16, history).save(found[seed])
    return found


def add(current: Settings, saved: dict[int, Path], seed: int) -> str:
    """Register a classifier as the model's next version."""
    run = open_run(current, experiment="synaug/test", key=f"r{seed}", stage="retrain", name="r")
    uri = log_model(run, saved[seed], picture(0), CLASSES, fit="pad")
    return registry.register(current, NAME, model_uri=uri, run=run, key=str(seed)).version


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, saved: dict[int, Path]) -> Path:
    """A database with both classifiers as versions 1 and 2, none of them champion."""
    home = tmp_path_factory.mktemp("registry")
    copy(empty_database, home / "mlflow.db")
    made = settings({"SYNAUG_HOME": str(home)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNAUG_HOME", str(home))
        assert [add(made, saved, seed) for seed in (1, 2)] == ["1", "2"]
    return home / "mlflow.db"


def copy(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(source)) as one, contextlib.closing(sqlite3.connect(target)) as other:
        one.backup(other)


@pytest.fixture
def champion(current: Settings, template: Path) -> Callable[[str], None]:
    """Makes a version champion."""
    copy(template, current.home / "mlflow.db")
    return lambda version: registry.promote(current, NAME, version) and None


class Running:
    def __init__(self, current: Settings, folder: Path, **options: Any) -> None:
        self.said: list[str] = []
        self.options = ServiceOptions(model=NAME, **{"log": "none", **options})
        self.holder = Holder(current, NAME, "champion", say=self.said.append, poll=self.options.poll)
        self.log = PredictionLog(folder, self.options.log, self.options.log_megabytes)
        self.service = Service(self.options, self.holder, self.log)
        self.holder.look()


@pytest.fixture
def start(current: Settings, tmp_path: Path) -> Iterator[Callable[..., tuple[TestClient, Running]]]:
    opened: list[TestClient] = []

    def make(**options: Any) -> tuple[TestClient, Running]:
        running = Running(current, tmp_path / "served", **options)
        opened.append(TestClient(running.service.app, base_url="http://127.0.0.1:8000"))
        opened[-1].__enter__()
        return opened[-1], running

    yield make
    for one in opened:
        one.__exit__(None, None, None)


def expected(folder: Path, *images: bytes, fit: Any = "pad") -> Any:
    pixels = np.stack([load_square(data, 16, 3, fit=fit) for data in images])
    return TrainedClassifier.load(folder).predict(torch.from_numpy(pixels))


def files(*images: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{i}.png", data)) for i, data in enumerate(images)]


def values(answer: Any) -> list[list[float]]:
    return [list(row["probabilities"].values()) for row in answer.json()["images"]]


def test_before_there_is_a_model(start, current, saved):
    client, running = start()
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert "there is no registered model 'synaug-test'; none is registered yet" in answer.json()["notes"][0]
    answer = client.post("/predict", files=files(picture(1)))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["error"].startswith("no model is loaded yet")
    assert client.get("/version").json()["model"] is None
    assert "synaug_model_ready 0" in client.get("/metrics").text
    add(current, saved, 1)
    running.holder.look()
    assert running.said[-1] == "synaug-test has no champion; waiting for it"
    registry.promote(current, NAME, "1")
    running.holder.look()
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ready", "model": NAME, "version": "1", "alias": "champion"},
    )
    assert running.said[-1] == "synaug-test version 1 (champion) is served"


def test_every_form_gets_the_classifiers_answer(start, champion, saved):
    champion("1")
    client, _ = start()
    images = [picture(1), picture(2, (16, 16)), picture(3, (9, 70), "TIFF")]
    wanted = expected(saved[1], *images)
    assert not np.allclose(wanted, expected(saved[1], *images, fit="crop"), atol=1e-3)
    encoded = [base64.b64encode(data).decode() for data in images]
    many = [
        client.post("/predict", files=files(*images)),
        client.post("/predict", json={"images": encoded}),
        client.post("/predict", json={"images": [{"name": "x", "data": text} for text in encoded]}),
    ]
    for answer in many:
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(values(answer), wanted, atol=1e-6)
        assert answer.json()["model"] == {"name": NAME, "version": "1", "alias": "champion"}
        for row, probabilities in zip(answer.json()["images"], wanted, strict=True):
            assert list(row["probabilities"]) == list(CLASSES)
            assert row["class"] == CLASSES[int(probabilities.argmax())]
            assert row["probability"] == max(row["probabilities"].values())
    assert [row["file"] for row in many[0].json()["images"]] == ["0.png", "1.png", "2.png"]
    single = client.post("/predict", content=images[0], headers={"content-type": "image/png"})
    np.testing.assert_allclose(values(single), wanted[:1], atol=1e-6)
    np.testing.assert_allclose(
        values(client.post("/predict", files=files(*images * 40))), np.tile(wanted, (40, 1)), atol=1e-6
    )


def bomb(side: int) -> bytes:
    """A PNG of a few hundred bytes that claims side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
HOSTILE = {
    "truncated": picture(1)[:200],
    "cut header": picture(1)[:20],
    "text": b"hello",
    "empty": b"",
    "svg": SVG,
    "svg named png": b"\x89PNG" + SVG,
    "bomb": bomb(20_000),
    "larger bomb": bomb(2**31 - 1),
    "no pixels": bomb(100),
    "zip": b"PK\x03\x04" + bytes(500),
    "gif": picture(1, kind="GIF"),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
    "zeros": bytes(10_000),
    "damaged": bytes(b ^ (i % 251 == 200) * 255 for i, b in enumerate(picture(2))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_one_line(start, champion, name, caplog):
    champion("1")
    client, _ = start()
    with caplog.at_level(logging.INFO):
        for request in (
            {"files": files(picture(1), HOSTILE[name])},
            {"json": {"images": [base64.b64encode(picture(1)).decode(), base64.b64encode(HOSTILE[name]).decode()]}},
        ):
            answer = client.post("/predict", **request)
            assert answer.status_code == 422, answer.text
            line = answer.json()["error"]
            assert line.startswith("image 1 (counted from 0)")
            assert len(line.splitlines()) == 1
            assert "Traceback" not in answer.text
            assert "data." not in line
    assert not [r for r in caplog.records if r.exc_info]
    assert client.post("/predict", files=files(picture(1))).status_code == 200


def test_a_polyglot_is_what_its_first_bytes_say(start, champion, saved):
    champion("1")
    client, _ = start()
    image = picture(4)
    answer = client.post("/predict", files=files(image + b"PK\x03\x04<script>alert(1)</script>"))
    np.testing.assert_allclose(values(answer), expected(saved[1], image), atol=1e-6)
    answer = client.post("/predict", files=[("images", ("<img src=x>.png", image, "text/html"))])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_limits(start, champion):
    champion("1")
    client, _ = start(max_megabytes=0.02, max_images=2, max_megapixels=0.01)
    for request, status, words in [
        ({"files": files(bytes(30_000))}, 413, "larger than 0.02 MB"),
        ({"files": files(bytes(3_000_000))}, 413, "larger than 0.02 MB"),
        ({"content": iter([bytes(9_000)] * 5), "headers": {"content-type": "image/png"}}, 413, "larger than 0.02 MB"),
        ({"files": files(*[picture(1, (8, 8))] * 3)}, 413, "more than 2 images"),
        ({"files": files(bomb(101))}, 422, "over the limit of 0.01"),
        ({"content": b"x"}, 415, "send multipart/form-data"),
        ({"content": b"x", "headers": {"content-type": "text/html"}}, 415, "send multipart/form-data"),
        ({"content": gzip.compress(b"x"), "headers": {"content-encoding": "gzip"}}, 415, "compressed"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=a"}}, 400, "damaged"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "no JSON"),
    ]:
        answer = client.post("/predict", **request)
        assert answer.status_code == status, answer.text
        assert words in answer.json()["error"]
    assert client.post("/predict", files=files(*[picture(1, (8, 8))] * 2)).status_code == 200


def test_time_is_limited(start, champion):
    champion("1")
    client, running = start(seconds=0.1)
    begun = time.monotonic()
    answer = client.post("/predict", files=files(*[picture(1, (400, 400))] * 60))
    assert answer.status_code in (408, 503)  # while it was read, or while it was decoded
    assert "too long" in answer.json()["error"]
    assert time.monotonic() - begun < 5
    assert client.post("/predict", files=files(picture(1))).status_code == 200
    assert running.holder.served is not None


def test_pages_that_are_not_there(start, champion):
    client, _ = start()
    for method, path, status in [
        ("GET", "/nothing", 404),
        ("GET", "/docs", 404),
        ("GET", "/predict", 405),
        ("POST", "/health", 405),
        ("GET", "/../../etc/passwd", 404),
    ]:
        answer = client.request(method, path)
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]
    assert client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]


def test_with_a_token_nobody_else_comes_in(start, champion, caplog):
    champion("1")
    client, running = start(token=TOKEN, host="0.0.0.0")
    right = {"authorization": f"Bearer {TOKEN}"}
    with caplog.at_level(logging.DEBUG):
        for path in ("/predict", "/version", "/metrics", "/openapi.json", "/nothing"):
            for headers in (
                {},
                {"authorization": "Bearer " + TOKEN[:-1]},
                {"authorization": f"Basic {TOKEN}"},
                {"authorization": TOKEN},
                {"authorization": "Bearer"},
                {"authorization": b"Bearer \xff\xfe"},
            ):
                answer = client.post(path, files=files(picture(1)), headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.json() == {"error": "a valid token is needed: Authorization: Bearer TOKEN"}
        assert client.post("/predict", files=files(picture(1)), headers=right).status_code == 200
        assert (
            client.post("/predict", files=files(picture(1)), headers={**right, "host": "any.name"}).status_code == 200
        )
        assert client.get("/metrics", headers=right).status_code == 200
        assert client.get("/health").json() == {"status": "ready"}
        assert client.get("/health", headers=right).json()["version"] == "1"
        assert client.get("/").status_code == 200
    assert TOKEN not in caplog.text
    assert TOKEN not in client.get("/").text
    assert TOKEN not in repr(running.options)


def test_without_a_token_other_sites_stay_out(start, champion):
    champion("1")
    client, _ = start()
    for headers, status in [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": ""}, 421),
        ({"host": "["}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
    ]:
        answer = client.post("/predict", files=files(picture(1)), headers=headers)
        assert answer.status_code == status, (headers, answer.text)


def test_tokens_come_from_a_file_or_the_environment(current, tmp_path, monkeypatch):
    assert read_token(current, None) is None
    monkeypatch.setenv("SYNAUG_SERVE_TOKEN", f" {TOKEN}\n")
    assert read_token(current, None) == TOKEN
    file = tmp_path / "token"
    file.write_text("another-token-in-a-file\n")
    assert read_token(current, file) == "another-token-in-a-file"
    for data, words in [
        (b"short", "16 to 4096 characters"),
        (b"", "16 to"),
        (b"x" * 5000, "16 to"),
        (b"a token with many spaces", "no spaces"),
        ("ä".encode() * 20, "ASCII"),
    ]:
        file.write_bytes(data)
        with pytest.raises(UserError, match=words) as caught:
            read_token(current, file)
        assert not data or data.decode() not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        read_token(current, tmp_path)
    monkeypatch.setenv("SYNAUG_SERVE_TOKEN", "short")
    with pytest.raises(UserError, match="SYNAUG_SERVE_TOKEN: a token has"):
        read_token(current, None)
    for host in ("0.0.0.0", "::", "example.org", "192.168.1.1", ""):
        with pytest.raises(UserError, match="give --token-file"):
            ServiceOptions(model=NAME, host=host)
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        ServiceOptions(model=NAME, host=host)


def test_metrics_are_what_prometheus_reads(start, champion, saved):
    champion("1")
    client, _ = start()
    client.post("/predict", files=files(picture(1), picture(2)))
    client.post("/predict", files=files(b"text"))
    client.get("/whatever/" + "x" * 50)
    found = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    assert found["synaug_requests_total", (("path", "/predict"), ("status", "200"))] == 1
    assert found["synaug_requests_total", (("path", "/predict"), ("status", "422"))] == 1
    assert found["synaug_requests_total", (("path", "other"), ("status", "404"))] == 1
    assert found["synaug_images_total", ()] == 2
    assert found["synaug_errors_total", ()] == 2
    assert found["synaug_request_seconds_count", ()] == 2
    assert found["synaug_request_seconds_bucket", (("le", "+Inf"),)] == 2
    assert found["synaug_request_seconds_sum", ()] > 0
    assert found["synaug_model_info", (("alias", "champion"), ("name", NAME), ("version", "1"))] == 1
    best = [CLASSES[i] for i in expected(saved[1], picture(1), picture(2)).argmax(axis=1)]
    assert sum(found["synaug_predicted_total", (("class", name),)] for name in set(best)) == 2


def test_promotion_and_rollback_are_taken_up(start, champion, saved, current):
    champion("1")
    client, running = start()
    image = picture(1)
    wanted = [expected(saved[1], image), expected(saved[2], image)]
    assert not np.allclose(*wanted, atol=1e-3)
    champion("2")
    np.testing.assert_allclose(values(client.post("/predict", files=files(image))), wanted[0], atol=1e-6)
    running.holder.look()
    answer = client.post("/predict", files=files(image))
    np.testing.assert_allclose(values(answer), wanted[1], atol=1e-6)
    assert answer.json()["model"]["version"] == "2"
    registry.rollback(current, NAME)
    running.holder.look()
    running.holder.look()
    np.testing.assert_allclose(values(client.post("/predict", files=files(image))), wanted[0], atol=1e-6)
    assert "synaug_reloads_total 2" in client.get("/metrics").text
    assert [line for line in running.said if "is served" in line] == [
        f"{NAME} version {v} (champion) is served" for v in (1, 2, 1)
    ]


@pytest.mark.parametrize("damage", ["weights", "description", "gone", "no numbers"])
def test_a_version_that_cannot_be_loaded_leaves_the_old_one(start, saved, current, damage):
    version = [add(current, saved, seed) for seed in (1, 2)][1]
    registry.promote(current, NAME, "1")
    client, running = start(poll=0.5)
    registry.promote(current, NAME, version)
    [place] = [v.source for v in registry.history(current, NAME) if v.version == version]
    folder = Path(place.removeprefix("file://").replace("%20", " "))
    weights = folder / "artifacts" / "classifier" / "weights.safetensors"
    whole = weights.read_bytes()
    if damage == "weights":
        weights.write_bytes(whole[:-8] + bytes(8))
    elif damage == "description":
        (folder / "MLmodel").write_text("- nothing")
    elif damage == "gone":
        folder.rename(folder.with_name("elsewhere"))
    else:
        broken = TrainedClassifier.load(saved[2])
        torch.nn.init.constant_(broken.model.linear.bias, float("nan"))
        broken.save(weights.parent)
    for _ in range(3):
        running.holder.look()
    answer = client.post("/predict", files=files(picture(1)))
    assert answer.json()["model"]["version"] == "1"
    [note] = client.get("/health").json()["notes"]
    assert note.startswith("version 2 cannot be loaded (ArtifactError: ")
    assert client.get("/health").status_code == 200
    assert running.holder.failures == 1  # not tried again at once
    assert [line for line in running.said if "cannot" in line] == [f"{note}; version 1 goes on"]
    if damage == "weights":
        weights.write_bytes(whole)
        time.sleep(0.6)
        running.holder.look()
        assert running.holder.served.version == "2"
        assert "notes" not in client.get("/health").json()


def test_a_registry_that_is_gone_leaves_the_old_one(start, champion, current, monkeypatch):
    champion("1")
    client_, running = start()
    client(current).delete_registered_model_alias(NAME, "champion")
    running.holder.look()
    assert running.said[-1] == "synaug-test has no champion; version 1 goes on"

    def broken(*_: Any) -> None:
        raise OSError("connection refused by http://user:password@host")

    monkeypatch.setattr(registry, "current", broken)
    running.holder.look()
    running.holder.look()
    assert len([line for line in running.said if "cannot be asked" in line]) == 1
    assert "password" not in running.said[-1]
    assert client_.post("/predict", files=files(picture(1))).status_code == 200
    monkeypatch.undo()
    registry.promote(current, NAME, "1")
    running.holder.look()
    assert "notes" not in client_.get("/health").json()


def test_a_failure_of_ours_is_one_line_too(start, champion, monkeypatch, caplog):
    champion("1")
    _, running = start()
    client = TestClient(running.service.app, base_url="http://127.0.0.1", raise_server_exceptions=False)

    def fails(*_: Any) -> None:
        raise RuntimeError("secret inner state")

    monkeypatch.setattr(service_app, "answer", fails)
    answer = client.post("/predict", files=files(picture(1)))
    assert (answer.status_code, answer.json()) == (
        500,
        {"error": "the service failed on this request; its log says more"},
    )
    assert "secret inner state" in caplog.text
    assert 'status="500"' in client.get("/metrics").text


def test_the_page_allows_nothing_from_elsewhere(start):
    client, _ = start()
    first, second = client.get("/"), client.get("/")
    policy = first.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "unsafe" not in policy
    nonce = policy.partition("script-src 'nonce-")[2].partition("'")[0]
    assert first.text.count(f'nonce="{nonce}"') == 2
    assert nonce not in second.text
    assert "http://" not in first.text
    assert "https://" not in first.text
    for name in ("style=", "onclick=", "onload="):
        assert name not in first.text.replace("image.onload =", "")
    assert client.get("/version").headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
