"""Another champion is taken up, and what cannot be loaded is not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.services.mlflow.clients import client
from synaug_core.services.models import registry
from synaug_core.services.settings import Settings
from tests.classifiers import expected, picture
from tests.synaug_core.serving.running import NAME, Champion, Start, add, files, values


def test_promotion_and_rollback_are_taken_up(
    start: Start, champion: Champion, saved: dict[int, Path], current: Settings
) -> None:
    champion("1")
    client, running = start()
    image = picture(1)
    wanted = [expected(saved[1], image), expected(saved[2], image)]
    assert not np.allclose(wanted[0], wanted[1], atol=1e-3)
    champion("2")
    np.testing.assert_allclose(values(client.post("/predict", files=files(image))), wanted[0], atol=1e-6)
    running.holder.refresh_model()
    answer = client.post("/predict", files=files(image))
    np.testing.assert_allclose(values(answer), wanted[1], atol=1e-6)
    assert answer.json()["model"]["version"] == "2"
    registry.rollback(current, NAME)
    running.holder.refresh_model()
    running.holder.refresh_model()
    np.testing.assert_allclose(values(client.post("/predict", files=files(image))), wanted[0], atol=1e-6)
    assert "synaug_reloads_total 2" in client.get("/metrics").text
    assert [line for line in running.announcements if "is served" in line] == [
        f"{NAME} version {v} (champion) is served" for v in (1, 2, 1)
    ]


@pytest.mark.parametrize("damage", ["weights", "description", "gone", "no numbers"])
def test_a_version_that_cannot_be_loaded_leaves_the_old_one(
    start: Start, saved: dict[int, Path], current: Settings, damage: str
) -> None:
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
        running.holder.refresh_model()
    answer = client.post("/predict", files=files(picture(1)))
    assert answer.json()["model"]["version"] == "1"
    [note] = client.get("/health").json()["notes"]
    assert note.startswith("version 2 cannot be loaded (ArtifactError: ")
    assert client.get("/health").status_code == 200
    assert running.holder.failures == 1  # not tried again at once
    assert [line for line in running.announcements if "cannot" in line] == [f"{note}; version 1 goes on"]
    if damage == "weights":
        weights.write_bytes(whole)
        time.sleep(0.6)
        running.holder.refresh_model()
        assert running.holder.served is not None
        assert running.holder.served.version == "2"
        assert "notes" not in client.get("/health").json()


def test_a_registry_that_is_gone_leaves_the_old_one(
    start: Start, champion: Champion, current: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion("1")
    client_, running = start()
    client(current).delete_registered_model_alias(NAME, "champion")
    running.holder.refresh_model()
    assert running.announcements[-1] == "synaug-test has no champion; version 1 goes on"

    def broken(*_: Any) -> None:
        raise OSError("connection refused by http://user:password@host")

    monkeypatch.setattr(registry, "current", broken)
    running.holder.refresh_model()
    running.holder.refresh_model()
    assert len([line for line in running.announcements if "cannot be asked" in line]) == 1
    assert "password" not in running.announcements[-1]
    assert client_.post("/predict", files=files(picture(1))).status_code == 200
    monkeypatch.undo()
    registry.promote(current, NAME, "1")
    running.holder.refresh_model()
    assert "notes" not in client_.get("/health").json()
