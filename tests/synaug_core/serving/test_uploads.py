"""Files that are none, or too much."""

from __future__ import annotations

import base64
import gzip
import logging
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from synaug_core.services.models import registry
from tests.classifiers import expected, picture
from tests.mlflow_server import embedded_home
from tests.synaug_core.serving.running import NAME, Champion, Running, Start, files, values


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


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[TestClient]:
    """A service with its defaults, for all tests that leave it as it was."""
    home = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        current = embedded_home(home, template, patch)
        registry.promote(current, NAME, "1")
        running = Running(current, home / "served")
        with TestClient(running.service.app, base_url="http://127.0.0.1:8000") as client:
            yield client


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_one_line(shared: TestClient, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for request in (
            {"files": files(picture(1), HOSTILE[name])},
            {"json": {"images": [base64.b64encode(picture(1)).decode(), base64.b64encode(HOSTILE[name]).decode()]}},
        ):
            answer = shared.post("/predict", **request)
            assert answer.status_code == 422, answer.text
            line = answer.json()["error"]
            assert line.startswith("image 1 (counted from 0)")
            assert len(line.splitlines()) == 1
            assert "Traceback" not in answer.text
            assert "data." not in line
    assert not [r for r in caplog.records if r.exc_info]
    assert shared.post("/predict", files=files(picture(1))).status_code == 200


def test_a_polyglot_is_what_its_first_bytes_say(shared: TestClient, saved: dict[int, Path]) -> None:
    image = picture(4)
    answer = shared.post("/predict", files=files(image + b"PK\x03\x04<script>alert(1)</script>"))
    np.testing.assert_allclose(values(answer), expected(saved[1], image), atol=1e-6)
    answer = shared.post("/predict", files=[("images", ("<img src=x>.png", image, "text/html"))])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_limits(start: Start, champion: Champion) -> None:
    champion("1")
    client, _ = start(max_megabytes=0.02, max_images=2, max_megapixels=0.01)
    request: Any
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


def test_time_is_limited(start: Start, champion: Champion) -> None:
    champion("1")
    client, running = start(seconds=0.1)
    answer = client.post("/predict", files=files(*[picture(1, (400, 400))] * 60))
    assert answer.status_code in (408, 503)  # while it was read, or while it was decoded
    assert "too long" in answer.json()["error"]
    # A short request is answered too late where the machine is busy, but not each time.
    assert any(client.post("/predict", files=files(picture(1))).status_code == 200 for _ in range(20))
    assert running.holder.served is not None
