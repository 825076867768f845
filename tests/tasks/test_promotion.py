"""The gate before a real registry, where others change the champion at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks.promotion as module
from synaug_core import digests
from synaug_core.classify.model import build
from synaug_core.classify.trained import History, TrainedClassifier
from synaug_core.config import ClassifierConfig, ComputeConfig, EvaluationConfig, PromotionConfig
from synaug_core.evaluate.predictions import Predictions
from synaug_core.refs import ClassifierRef, ComparisonRef, DatasetRef, PredictionsRef, RegisteredRef, RepetitionRef
from synaug_core.services.mlflow.artifacts import digest
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.runs import open_run
from synaug_core.services.models import registry
from synaug_core.services.settings import settings
from tasks.engine.context import Context
from tasks.promotion import Measured
from tests.versions import add_version

NAME = "synaug-x"
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def register(dataset: DatasetRef, tmp_path: Path) -> Callable[[], RegisteredRef]:
    """Registers a classifier that was never trained, with predictions that are all right."""
    parent = open_run(settings(), experiment="synaug/x", key="top", stage="retrain", name="retrain")
    config = ClassifierConfig(width=4)
    model = build(config, channels=1, size=16, classes=dataset.classes, seed=1, mean=(0.5,), std=(0.2,))
    history = History(evaluations=(), best_step=0, stopped_at=0, ended="all steps")
    TrainedClassifier(model, config, dataset.classes, 1, 16, history).save(tmp_path / "classifier")
    labels = np.arange(20) % 2
    names = tuple(f"test{n}" for n in range(20))
    predictions = Predictions(names, labels, np.eye(2, dtype=np.float32)[labels], dataset.classes)
    predictions.write(tmp_path / "predictions.parquet")
    folder, file = tmp_path / "classifier", tmp_path / "predictions.parquet"
    said = PredictionsRef(uri=file.as_uri(), sha256=digests.of_file(file), run_id="run", images=20)
    best = RepetitionRef(
        arm="control",
        repetition=0,
        validation=1.0,
        classifier=ClassifierRef(uri=folder.as_uri(), sha256=digest(folder), run_id="run", classes=dataset.classes),
        predictions=said,
        validation_predictions=said,
        run_id=parent.run_id,
    )
    comparison = ComparisonRef(uri="file:///nowhere", sha256="2" * 64, run_id="run", best=best)

    def call() -> RegisteredRef:
        context = Context(dataset=dataset, seed=0, compute=ComputeConfig(device="cpu"), run=parent)
        return module.register_best.fn(
            context, comparison, PromotionConfig(), EvaluationConfig(), parent, "**No gain**"
        )

    return call


def champion() -> str | None:
    found = registry.current(settings(), NAME)
    return found and found.version


def other(key: str) -> str:
    """A version of somebody else's."""
    run = open_run(settings(), experiment="synaug/x", key=key, stage="retrain", name=key)
    return add_version(settings(), NAME, run, key).version


@pytest.fixture
def interfering(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str | None]]:
    """Lets another machine promote a version of its own after each of the first measurements; gives those measured."""

    def begin(times: int) -> list[str | None]:
        measured: list[str | None] = []

        def measure(version: registry.ModelVersion | None, *_: Any) -> Measured:
            measured.append(version and version.version)
            if len(measured) <= times:
                registry.promote(settings(), NAME, other(f"theirs {len(measured)}"))
            return Measured()  # as if there were nothing to compare with: the gate says yes

        monkeypatch.setattr(module, "measure", measure)
        return measured

    return begin


def test_a_champion_of_the_last_moment_is_measured_too(
    register: Callable[[], RegisteredRef], interfering: Callable[[int], list[str | None]]
) -> None:
    measured = interfering(1)
    made = register()
    assert measured == [None, "1"]
    assert (made.alias, made.version, champion()) == ("champion", "2", "2")
    assert len(registry.history(settings(), NAME)) == 2


def test_it_ends_where_the_champion_keeps_changing(
    register: Callable[[], RegisteredRef], interfering: Callable[[int], list[str | None]]
) -> None:
    measured = interfering(9)
    with pytest.raises(registry.ChampionChangedError, match="was not promoted"):
        register()
    assert len(measured) == 3


def test_looks_at_one_champion_on_the_same_images_are_counted(dataset: DatasetRef) -> None:
    images = dataset.test.sha256[:16]
    other("first")
    [champion] = registry.versions(settings(), NAME)

    def earlier(key: str = "this", images: str = images) -> int:
        return module._earlier_comparisons(NAME, key, champion, images)

    assert earlier() == 0
    for number, (against, seen) in enumerate((("1", images), ("1", images), ("2", images), ("1", "9" * 16)), start=2):
        registry.annotate(
            settings(), NAME, other(f"look {number}"), {"synaug.compared_with": against, "synaug.test_images": seen}
        )
    assert earlier() == 2
    assert earlier(images="9" * 16) == 1
    assert earlier(key="look 2") == 1
    assert module._earlier_comparisons(NAME, "this", None, images) == 0


def test_what_it_is_now_is_said_of_a_version_that_was_decided_on_before(
    register: Callable[[], RegisteredRef],
) -> None:
    made = register()
    assert made.alias == "champion"
    assert register() == made
    version = client(settings()).get_model_version(NAME, made.version)
    assert version.description == f"{made.reason}\n\n**No gain**"
    registry.promote(settings(), NAME, other("theirs"), by="a person")
    assert register() == made.model_copy(update={"alias": "previous"})
    registry.rollback(settings(), NAME)
    assert register() == made
    for newer in ("one more", "and another"):
        registry.promote(settings(), NAME, other(newer), by="a person")
    assert register() == made.model_copy(update={"alias": None})
