"""A service on a registry, how it is asked, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from synaug_core.data.scaling import Preprocessing
from synaug_core.services.mlflow.runs import open_run
from synaug_core.services.models import registry
from synaug_core.services.models.exported import log_model
from synaug_core.services.settings import Settings
from synaug_core.serving.app import Service
from synaug_core.serving.log import PredictionLog
from synaug_core.serving.model import Holder
from synaug_core.serving.options import ServiceOptions
from tests.classifiers import picture

CLASSES = ('say "a\\b"', "Ä b", "EOSINOPHIL")
NAME = "synaug-test"


class Running:
    def __init__(self, current: Settings, folder: Path, **options: Any) -> None:
        self.announcements: list[str] = []
        self.options = ServiceOptions(model=NAME, **{"log": "none", **options})
        self.holder = Holder(current, NAME, "champion", announce=self.announcements.append, poll=self.options.poll)
        self.log = PredictionLog(folder, self.options.log, self.options.log_megabytes)
        self.service = Service(self.options, self.holder, self.log)
        self.holder.refresh_model()


Start = Callable[..., tuple[TestClient, Running]]
Champion = Callable[[str], object]


def add(current: Settings, saved: dict[int, Path], seed: int) -> str:
    """Register a classifier as the model's next version."""
    run = open_run(current, experiment="synaug/test", key=f"r{seed}", stage="retrain", name="r")
    uri = log_model(run, saved[seed], picture(0), CLASSES, Preprocessing(fit="pad"))
    return registry.register(current, NAME, model_uri=uri, run=run, key=str(seed)).version


def files(*images: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{i}.png", data)) for i, data in enumerate(images)]


def values(answer: Any) -> list[list[float]]:
    return [list(row["probabilities"].values()) for row in answer.json()["images"]]
