"""The watch over a served model, on a real store and a real Prefect server: `server` is in conftest.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows.watch import run_watch, watch
from synaug_core.classify.training import TrainingJob
from synaug_core.classify.training import train as train_classifier
from synaug_core.config import ArmConfig, ClassifierConfig, Config, DataConfig
from synaug_core.data import parquet
from synaug_core.data.prepare import Prepared, prepare
from synaug_core.errors import UserError
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.runs import recording
from synaug_core.services.models import registry
from synaug_core.services.models.exported import log_model
from synaug_core.services.settings import Settings, settings
from synaug_core.serving.answer import answer
from synaug_core.serving.log import PredictionLog, log_folder
from synaug_core.serving.model import load_version
from synaug_core.serving.uploads import Upload
from tasks.promotion import example_image
from tasks.watch import Observation, start_retraining

NAME = "synaug-digits"
pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(DataConfig(source="digits", image_size=16), seed=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Iterator[Settings]:
    """A champion with the retraining that made it, as a retraining leaves them."""
    folder = tmp_path_factory.mktemp("watch")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("SYNAUG_HOME", str(folder / "home"))
        current = settings()
        config = ClassifierConfig(width=8, steps=120, batch_size=32, learning_rate=5e-3, evaluate_every=60)
        arm = ArmConfig(name="control", sampling="balanced")
        trained = train_classifier(TrainingJob(config, arm, prepared.train, prepared.val, init_seed=0, batch_seed=0))
        trained.save(folder / "classifier")
        with recording(current, experiment="synaug/digits", key="top", stage="retrain", name="retrain") as top:
            with recording(
                current, experiment="synaug/digits", key="data", stage="dataset", name="dataset", parent=top.run
            ) as dataset:
                for split in ("train", "val", "test"):
                    images = getattr(prepared, split)
                    parquet.write(images, folder / f"{split}.parquet", split=split)
                    dataset.file(folder / f"{split}.parquet", f"images/{split}.parquet")
            uri = log_model(top.run, folder / "classifier", example_image(prepared.test), trained.classes)
        made = registry.register(
            current, NAME, model_uri=uri, run=top.run, key="k", tags={"synaug.retraining": top.run.run_id}
        )
        registry.promote(current, NAME, made.version)
        yield current


@pytest.fixture
def serve(store: Settings, prepared: Prepared) -> Iterator[Callable[..., None]]:
    """Lets the champion answer for images as clients would send them, and keeps what it said."""
    folder = log_folder(store, NAME)
    held_out = torch.cat([prepared.val.images, prepared.test.images])
    order = np.random.default_rng(5).permutation(len(held_out))

    def give(n: int, change: Callable[[torch.Tensor], torch.Tensor] = lambda x: x, mode: Any = "images") -> None:
        version = registry.current(store, NAME)
        assert version is not None
        served = load_version(store, version, "champion", "cpu")
        images = change(held_out[order[:n].tolist()].int()).clamp(0, 255).to(torch.uint8)
        log = PredictionLog(folder, mode, 50.0)
        log.start()
        from synaug_core.data.decode import Limits

        for part in torch.split(images, 40):
            files = [Upload("", example(image)) for image in part]
            log.put(answer(served, files, Limits(), float("inf")))
        log.stop()

    yield give
    for path in folder.glob("*"):
        path.unlink()


def example(image: torch.Tensor) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image[0].numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def config(**watched: Any) -> Config:
    values: dict[str, Any] = {"minimum": 30, "window": 150, "permutations": 299, **watched}
    return Config.model_validate({"name": "digits", "watch": values})


def recorded(store: Settings, run_id: str) -> tuple[Any, Path]:
    run = client(store).get_run(run_id)
    return run, Path(run.info.artifact_uri.removeprefix("file://"))


def test_too_few_images_say_nothing(store: Settings, serve: Callable[..., None]) -> None:
    outcome = run_watch(config())
    assert (outcome.verdict, outcome.finding.recent) == ("too few images", 0)
    serve(20)
    outcome = run_watch(config())
    assert outcome.sentence == "Too few images to say anything: 20 recent images, at least 30 are needed."
    run, _ = recorded(store, outcome.run_id)
    assert "watch/drift" not in run.data.metrics
    assert run.data.metrics["watch/images"] == 20


def test_images_like_the_known_ones_are_no_drift(store: Settings, serve: Callable[..., None]) -> None:
    serve(120)
    outcome = run_watch(config(deployment="retrain/none"))
    assert (outcome.verdict, outcome.retraining) == ("no drift shown", None)
    run, place = recorded(store, outcome.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["synaug.stage"] == "watch"
    assert run.data.tags["synaug.verdict"] == "no drift shown"
    assert run.data.tags["synaug.version"] == "1"
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.data.metrics["watch/images"] == 120
    assert run.data.metrics["watch/drift"] == 0
    assert 0 < run.data.metrics["watch/mmd_p"] <= 1
    assert (run.data.params["level"], run.data.params["looks"]) == ("0.05", "30")
    names = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}
    assert names == {"watch.json", "figures/distance.png", "figures/classes.png", "figures/unusual.png"}
    assert json.loads((place / "watch.json").read_text())["sentence"] == outcome.sentence
    again = run_watch(config(deployment="retrain/none"))
    assert again == outcome  # nothing new: the same run
    serve(130)
    assert run_watch(config()).run_id != outcome.run_id


def test_drift_is_found_and_starts_a_deployment_once(store: Settings, serve: Callable[..., None]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.deployments.runner import RunnerDeployment
    from prefect.types.entrypoint import EntrypointType

    serve(120, lambda x: x + 40)
    outcome = run_watch(config())
    assert outcome.verdict == "drift"
    assert "recent images look different" in outcome.sentence
    assert outcome.retraining is None  # it only reports where no deployment is named
    with pytest.raises(UserError, match="there is no deployment 'retrain/nothing'"):
        run_watch(config(deployment="retrain/nothing"))
    there = RunnerDeployment.from_flow(watch, name="digits", entrypoint_type=EntrypointType.MODULE_PATH)
    there.apply()
    name = "watch/digits"
    outcome = run_watch(config(deployment=name))
    assert outcome.retraining is not None
    assert outcome.retraining.startswith("watch/digits started (flow run ")
    started = outcome.retraining.removesuffix(")").rpartition(" ")[2]
    with get_client(sync_client=True) as prefect:
        run = prefect.read_flow_run(started)
        assert run.state is not None
        assert run.state.is_scheduled()
        assert "drift" in run.tags
    again = run_watch(config(deployment=name, permutations=499))
    assert again.retraining == f"watch/digits was started before (flow run {started})"


def test_another_mix_of_classes_is_drift(store: Settings, serve: Callable[..., None], prepared: Prepared) -> None:
    test = prepared.test
    ones = test.images[(test.labels < 2)]
    serve(len(ones), lambda _: ones.int())
    outcome = run_watch(config())
    assert outcome.verdict == "drift"
    assert "classed in another mix" in outcome.sentence
    assert outcome.finding.shares["0"][1] > 0.3 > outcome.finding.shares["0"][0]


def test_features_alone_are_enough(store: Settings, serve: Callable[..., None]) -> None:
    serve(120, lambda x: x + 40, mode="features")
    outcome = run_watch(config())
    assert outcome.verdict == "drift"
    _, place = recorded(store, outcome.run_id)
    assert not (place / "figures" / "unusual.png").exists()
    assert run_watch(config(features="thumbnails")).verdict == "too few images"


def test_all_that_is_computed_stands_on_one_drawn_reference(
    store: Settings, serve: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from synaug_core.drift import finding, mmd

    sizes = []
    real = mmd.rank_unusual
    monkeypatch.setattr(finding, "_MOST_REFERENCE", 90)
    monkeypatch.setattr(mmd, "rank_unusual", lambda known, new: (sizes.append(len(known)), real(known, new))[1])
    serve(60)
    found = run_watch(config(permutations=399)).finding
    assert found.reference == 90
    assert sizes == [90]
    assert all(abs(90 * known - round(90 * known)) < 1e-9 for known, _ in found.shares.values())


def test_thumbnails_and_training_images_can_be_compared(store: Settings, serve: Callable[..., None]) -> None:
    serve(120)
    assert run_watch(config(features="thumbnails", reference="train")).verdict == "no drift shown"
    assert run_watch(config(days=1e-9)).finding.recent == 0
    serve(120, lambda x: 255 - x)
    assert run_watch(config(features="thumbnails", reference="train")).verdict == "drift"


def test_what_cannot_be_watched(store: Settings) -> None:
    with pytest.raises(UserError, match="synaug-other has no champion, so there is nothing to watch"):
        run_watch(Config(name="other"))
    version = registry.current(store, NAME)
    assert version is not None
    run = client(store).get_run(version.run_id)
    model = run.outputs.model_outputs[0].model_id
    from synaug_core.services.mlflow.runs import run_ref

    registry.register(
        store, "synaug-foreign", model_uri=f"models:/{model}", run=run_ref(store, version.run_id), key="x"
    )
    registry.promote(store, "synaug-foreign", "1")
    with pytest.raises(UserError, match="images that synaug-foreign version 1 was made from are not in this store"):
        run_watch(Config(name="foreign"))


def test_a_retraining_that_was_cut_short_is_started_again(store: Settings) -> None:
    from prefect.client.orchestration import get_client
    from prefect.deployments.runner import RunnerDeployment
    from prefect.states import Cancelled, Completed, Crashed
    from prefect.types.entrypoint import EntrypointType

    RunnerDeployment.from_flow(watch, name="limited", entrypoint_type=EntrypointType.MODULE_PATH).apply()
    drifted = Observation.model_construct(model=NAME, version="7")

    def start() -> tuple[str, bool]:
        return start_retraining.fn(drifted, "watch/limited")

    started = []
    with get_client(sync_client=True) as prefect:
        for end in (Cancelled(), Crashed(), Completed()):
            run_id, new = start()
            assert new
            assert start() == (run_id, False)
            started.append(run_id)
            prefect.set_flow_run_state(run_id, end, force=True)
    assert len(set(started)) == 3
    assert start() == (started[-1], False)  # it ended, and there is drift still
