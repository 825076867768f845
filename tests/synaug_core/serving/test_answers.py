"""What the service answers to images."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from synaug_core.services.models import registry
from synaug_core.services.settings import Settings
from synaug_core.serving import app as pages
from synaug_core.serving.answer import Answer
from tests.classifiers import expected, picture
from tests.synaug_core.serving.running import CLASSES, NAME, Champion, Start, add, files, values


def test_before_there_is_a_model(start: Start, current: Settings, saved: dict[int, Path]) -> None:
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
    running.holder.refresh_model()
    assert running.announcements[-1] == "synaug-test has no champion; waiting for it"
    registry.promote(current, NAME, "1")
    running.holder.refresh_model()
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ready", "model": NAME, "version": "1", "alias": "champion"},
    )
    assert running.announcements[-1] == "synaug-test version 1 (champion) is served"


def test_what_is_no_number_is_no_answer(
    start: Start, champion: Champion, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    champion("1")
    _, running = start(log="features")
    client = TestClient(running.service.app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    kept: list[Answer] = []
    monkeypatch.setattr(running.log, "put", kept.append)
    real = pages.answer

    def without_numbers(*given: Any) -> Answer:
        found = real(*given)
        return replace(found, probabilities=np.full_like(found.probabilities, np.nan))

    monkeypatch.setattr(pages, "answer", without_numbers)
    answer = client.post("/predict", files=files(picture(1)))
    assert (answer.status_code, list(answer.json())) == (500, ["error"])
    assert "NaN" not in answer.text
    assert kept == []


def test_every_form_gets_the_classifiers_answer(start: Start, champion: Champion, saved: dict[int, Path]) -> None:
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
