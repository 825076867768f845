"""Probes of classifiers as steps on a real Prefect server: disturbed and attacked images, maps of the evidence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from prefect import flow

from synaug_core.classify.model import build
from synaug_core.classify.trained import History, TrainedClassifier
from synaug_core.config import ClassifierConfig, ComputeConfig, RobustnessConfig
from synaug_core.config.probes import ExplanationConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.probes.base import ComparedArms
from synaug_core.probes.registry import PROBES
from synaug_core.refs import DatasetRef, PredictionsRef, ProbeRef, RepetitionRef, RunRef
from synaug_core.seeds import stream
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.runs import open_run
from synaug_core.services.settings import settings
from tasks.engine.context import Context
from tasks.engine.storage import store_classifier, store_images, store_predictions
from tasks.probes import attacks_on_all, load_measurement, measure_attacked, run_probe
from tasks.training import predict_images

pytestmark = pytest.mark.usefixtures("server", "home")

CONFIG = RobustnessConfig(perturbations=("noise",), attacks=("fgsm", "pgd"), eps=(2.0,), steps=2, images=4)


@flow
def probed(
    dataset: DatasetRef, repetitions: tuple[RepetitionRef, ...], config: RobustnessConfig, parent: RunRef
) -> list[tuple[str, ProbeRef]]:
    compute = ComputeConfig(device="cpu", threads=1)
    context = Context(dataset=dataset, seed=7, compute=compute, run=parent)
    futures = [
        run_probe.submit("robustness", context, (r,), PROBES["robustness"].narrow(config), None) for r in repetitions
    ]
    return [(f.wait(), f.state.name, f.result())[1:] for f in futures]


@pytest.fixture
def case(dataset: DatasetRef, home: Path) -> tuple[DatasetRef, tuple[RepetitionRef, ...], RunRef]:
    """Two arms, never trained, and six test images."""
    run = open_run(settings(), experiment="synaug/x", key="parent", stage="retrain", name="parent")
    recorder, config = Recorder(run), ClassifierConfig(width=4)
    images = torch.randint(0, 256, (6, 1, 16, 16), generator=stream(0), dtype=torch.uint8)
    names = tuple(f"t{i}" for i in range(6))
    test = ImageSet(images, torch.tensor([0, 0, 0, 0, 1, 1]), ("a", "b"), names, names, ("{}",) * 6)
    found = []
    for seed, arm in enumerate(("control", "combined")):
        model = build(config, channels=1, size=16, classes=("a", "b"), seed=seed, mean=(0.5,), std=(0.2,))
        history = History(stopped_at=0, best_step=0, ended="all steps", evaluations=())
        classifier = TrainedClassifier(model.eval(), config, ("a", "b"), 1, 16, history)
        mine = Recorder(open_run(settings(), experiment="synaug/x", key=arm, stage="x", name="x"))
        said = PredictionsRef(uri="file:///nowhere", sha256=f"{seed}" * 64, run_id="run", images=6)
        found.append(
            RepetitionRef(
                arm=arm,
                repetition=1,
                validation=0.5,
                classifier=store_classifier(mine, classifier),
                predictions=said,
                validation_predictions=said,
                run_id=mine.run.run_id,
            )
        )
    return dataset.model_copy(update={"test": store_images(recorder, test, "test.parquet", "test")}), tuple(found), run


def test_every_arm_is_asked_about_the_same_images_and_recorded(case) -> None:
    dataset, repetitions, run = case
    references = [reference for _, reference in probed(dataset, repetitions, CONFIG, run)]
    assert [(r.arm, r.repetition) for r in references] == [("control", 1), ("combined", 1)]
    control, combined = (load_measurement(r).result for r in references)
    assert control.classes == combined.classes == {"a": 2, "b": 2}

    from synaug_core.services.mlflow.clients import client_of

    recorded = client_of(run).get_run(references[0].run_id).data
    assert recorded.tags["synaug.stage"] == "robustness"
    assert (recorded.tags["synaug.arm"], recorded.tags["synaug.seed"]) == ("control", "1")
    point = next(c for c in control.curves if c.name == "pgd").points[1]
    assert recorded.metrics["robust/pgd/eps_2/balanced_accuracy"] == point.balanced_accuracy
    assert {"robust/noise/severity_3/balanced_accuracy", "robust/perturbed", "robust/clean"} <= set(recorded.metrics)
    assert "eps" in recorded.params
    assert "repetitions" not in recorded.params
    attacks = attacks_on_all(references, repetitions)
    assert attacks == tuple(references)
    under_attack = measure_attacked(attacks)
    assert list(under_attack) == ["control", "combined"]
    assert under_attack["control"].values == pytest.approx([point.balanced_accuracy])  # PGD is never weaker than FGSM
    later = repetitions[0].model_copy(update={"repetition": 2})
    assert attacks_on_all(references, (*repetitions, later)) == ()
    assert measure_attacked(()) == {}


def test_asking_more_trainings_does_not_ask_the_first_again(case) -> None:
    dataset, repetitions, run = case
    first = probed(dataset, repetitions, CONFIG, run)
    more = CONFIG.model_copy(update={"repetitions": 5})
    assert probed(dataset, repetitions, more, run) == [("Cached", reference) for _, reference in first]
    [(state, other), _] = probed(dataset, repetitions, CONFIG.model_copy(update={"steps": 3}), run)
    assert (state, other.arm) == ("Completed", "control")


@flow
def explained(dataset: DatasetRef, repetitions: tuple[RepetitionRef, ...], parent: RunRef) -> ProbeRef:
    config, compute = ExplanationConfig(images=3), ComputeConfig(device="cpu", threads=1)
    compared = ComparedArms(reference="control", best="combined")
    context = Context(dataset=dataset, seed=0, compute=compute, run=parent)
    return run_probe("explanation", context, repetitions, config, compared)


@pytest.fixture
def trained(dataset: DatasetRef, home: Path) -> Callable[[str], tuple[DatasetRef, tuple[RepetitionRef, ...], RunRef]]:
    """`trained(backbone)`: control twice, combined once, never trained; and one of another fold."""

    def make(backbone: str) -> tuple[DatasetRef, tuple[RepetitionRef, ...], RunRef]:
        run = open_run(settings(), experiment="synaug/x", key="parent", stage="retrain", name="parent")
        recorder, config = Recorder(run), ClassifierConfig(backbone=backbone, width=4)
        images = torch.randint(0, 256, (6, 1, 32, 32), generator=stream(0), dtype=torch.uint8)
        names = tuple(f"t{i}" for i in range(6))
        test = ImageSet(images, torch.tensor([0, 0, 0, 0, 1, 1]), ("a", "b"), names, names, ("{}",) * 6)
        found = []
        for seed, (arm, repetition, fold) in enumerate(
            [("combined", 0, test), ("control", 1, test), ("control", 0, test), ("control", 2, test.take([0, 4]))]
        ):
            model = build(config, channels=1, size=32, classes=("a", "b"), seed=seed, mean=(0.5,), std=(0.2,))
            history = History(stopped_at=0, best_step=0, ended="all steps", evaluations=())
            classifier = TrainedClassifier(model.eval(), config, ("a", "b"), 1, 32, history)
            recorder = Recorder(open_run(settings(), experiment="synaug/x", key=f"{seed}", stage="x", name="x"))
            said = predict_images(classifier, fold, torch.device("cpu"))
            stored = store_predictions(recorder, said, "predictions/test.parquet")
            found.append(
                RepetitionRef(
                    arm=arm,
                    repetition=repetition,
                    validation=0.5,
                    classifier=store_classifier(recorder, classifier),
                    predictions=stored,
                    validation_predictions=stored,
                    run_id=recorder.run.run_id,
                )
            )
        stored = store_images(recorder, test, "test.parquet", "test")
        return dataset.model_copy(update={"test": stored, "image_size": 32}), tuple(found), run

    return make


def test_maps_are_stored_beside_their_figures(trained, home: Path) -> None:
    dataset, repetitions, run = trained("small_cnn")
    reference = explained(dataset, repetitions, run)
    explanation = load_measurement(reference).result
    assert (explanation.reference, explanation.best, explanation.layer) == ("control", "combined", "blocks.10 (8 x 8)")
    assert [len(explanation.images), explanation.change["combined"].n, explanation.noise.n] == [3, 6, 6]
    sheet = load_measurement(reference).pictures["cams.png"]
    assert np.asarray(sheet).std() > 0
    from synaug_core.services.mlflow.clients import client_of

    client = client_of(run)
    recorded = client.get_run(reference.run_id).data
    assert recorded.metrics["explain/change/combined"] == pytest.approx(explanation.change["combined"].correlation)
    assert recorded.metrics["explain/noise"] == pytest.approx(explanation.noise.correlation)
    assert recorded.tags["synaug.explanation"] == explanation.sentence()
    assert [f.path for f in client.list_artifacts(reference.run_id, "figures")] == ["figures/cams.png"]


def test_a_network_without_maps_gets_a_note(trained) -> None:
    reference = explained(*trained("vit_tiny_patch16_224"))
    explanation = load_measurement(reference).result
    assert explanation.note.startswith("No maps of where the classifiers look: the network turns the image into")
    assert (explanation.images, explanation.change) == ((), {})
    assert load_measurement(reference).pictures == {}
