"""Who may ask the service."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from synaug_core.errors import UserError
from synaug_core.serving.options import ServiceOptions, read_token
from tests.classifiers import picture
from tests.synaug_core.serving.running import NAME, Champion, Start, files

TOKEN = "a-token-that-is-long-enough"


def test_with_a_token_nobody_else_comes_in(start: Start, champion: Champion, caplog: pytest.LogCaptureFixture) -> None:
    champion("1")
    client, running = start(token=TOKEN, host="0.0.0.0")
    right = {"authorization": f"Bearer {TOKEN}"}
    headers: Any
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


def test_without_a_token_other_sites_stay_out(start: Start, champion: Champion) -> None:
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


def test_tokens_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNAUG_SERVE_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("SYNAUG_SERVE_TOKEN", f" {TOKEN}\n")
    assert read_token(None) == TOKEN
    file = tmp_path / "token"
    file.write_text("another-token-in-a-file\n")
    assert read_token(file) == "another-token-in-a-file"
    for data, words in [
        (b"short", "16 to 4096 characters"),
        (b"", "16 to"),
        (b"x" * 5000, "16 to"),
        (b"a token with many spaces", "no spaces"),
        ("ä".encode() * 20, "ASCII"),
    ]:
        file.write_bytes(data)
        with pytest.raises(UserError, match=words) as caught:
            read_token(file)
        assert not data or data.decode() not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        read_token(tmp_path)
    monkeypatch.setenv("SYNAUG_SERVE_TOKEN", "short")
    with pytest.raises(UserError, match="SYNAUG_SERVE_TOKEN: a token has"):
        read_token(None)
    for host in ("0.0.0.0", "::", "example.org", "192.168.1.1", ""):
        with pytest.raises(UserError, match="give --token-file"):
            ServiceOptions(model=NAME, host=host)
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        ServiceOptions(model=NAME, host=host)
