"""The service's other pages, and what it says where it fails."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from synaug_core.serving import app as pages
from tests.classifiers import picture
from tests.synaug_core.serving.running import Champion, Start, files


def test_pages_that_are_not_there(start: Start, champion: Champion) -> None:
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
    told = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert told["requestBody"]
    assert {"400", "401", "403", "408", "413", "415", "421", "422", "503"} <= set(told["responses"])


def test_watchers_may_ask_for_the_head_alone(start: Start, champion: Champion) -> None:
    client, _ = start()
    for path in ("/", "/health", "/version", "/metrics"):
        whole, head = client.get(path), client.head(path)
        assert head.status_code == whole.status_code
    assert client.head("/predict").status_code == 405
    assert set(client.get("/openapi.json").json()["paths"]["/health"]) == {"get"}


def test_a_failure_of_ours_is_one_line_too(
    start: Start, champion: Champion, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    champion("1")
    _, running = start()
    client = TestClient(running.service.app, base_url="http://127.0.0.1", raise_server_exceptions=False)

    def fails(*_: Any) -> None:
        raise RuntimeError("secret inner state")

    monkeypatch.setattr(pages, "answer", fails)
    answer = client.post("/predict", files=files(picture(1)))
    assert (answer.status_code, answer.json()) == (
        500,
        {"error": "the service failed on this request; its log says more"},
    )
    assert "secret inner state" in caplog.text
    assert 'status="500"' in client.get("/metrics").text


def test_the_page_allows_nothing_from_elsewhere(start: Start) -> None:
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
