"""The chosen arm's model into the registry, measured against the champion, and through the gate; or by hand."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from prefect import task

from synaug_core import digests, errors, frozen, refs, seeds, vocabulary
from synaug_core.classify import trained
from synaug_core.config import EvaluationConfig, PromotionConfig
from synaug_core.data import imageset, png, scaling
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.promotion import Decision, gate
from synaug_core.report.promotion import promotion_page
from synaug_core.services.mlflow import artifacts, retrainings, runs
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.models import exported, registry, training_images
from synaug_core.services.settings import settings
from tasks.engine import machine, step, storage
from tasks.engine.context import Context
from tasks.training import predict_images

__all__ = ["Measured", "decision_tags", "example_image", "go_back", "make_champion", "measure", "register_best"]

_TRIES = 3
_YES = "1"
"""A tag's text for 1.0, as `decision_tags` writes it."""


@step.action
def register_best(
    context: Context,
    comparison: refs.ComparisonRef,
    promotion: PromotionConfig,
    evaluation: EvaluationConfig,
    arm_run: refs.RunRef,
    description: str = "",
) -> refs.RegisteredRef:
    """Register the chosen arm's model as challenger, measure it against the champion, and let the gate decide.

    The model is shown as an output of the retraining and of its arm's run too; `description`, in Markdown, stands on
    the version below the gate's reason.

    A model that was decided on before stays as the gate, or a person since, left it. Where another version becomes
    champion meanwhile, the model is measured against that one.

    Raises:
        ChampionChangedError: the champion changed each time that this was done.
    """
    dataset = context.dataset
    name = f"synaug-{dataset.name}"
    key = digests.of_value(frozen.identity([dataset, comparison, promotion, evaluation]))
    if (decided := _decided(name, key)) is not None:
        return decided
    best, test = comparison.best, storage.load_images(dataset.test)
    with (
        runs.recording(
            settings(),
            experiment=context.run.experiment,
            key=key,
            stage="promotion",
            name="promotion",
            parent=context.run,
        ) as recorder,
        machine.device_slot(context.compute) as device,
    ):
        owner = runs.run_ref(settings(), best.run_id)
        model = exported.log_model(
            owner, artifacts.fetch(best.classifier), example_image(test), best.classifier.classes, dataset.preprocessing
        )
        for run in (context.run, arm_run):
            runs.add_output(run, model)
        images = dataset.test.sha256[: retrainings.FINGERPRINT_LENGTH]
        for attempt in range(_TRIES):
            champion = registry.current(settings(), name, "champion")
            if champion is not None and champion.tags.get(Tag.KEY) == key:
                champion = registry.current(settings(), name, "previous")  # a kill came between promotion and its tags
            measured = measure(champion, dataset, test, device)
            decision = gate(
                storage.load_predictions(best.predictions),
                measured.predictions,
                train_counts=dataset.train.counts,
                config=promotion,
                confidence=evaluation.confidence,
                resamples=evaluation.resamples,
                seed=seeds.derive(context.seed, "promotion"),
                obstacle=measured.obstacle,
                excluded=measured.trained_on,
                comparisons=1 + _earlier_comparisons(name, key, champion, images),
            )
            version = registry.register(
                settings(), name, model_uri=model, run=owner, key=key, tags=_origin(best.arm, dataset, context.run)
            )
            if not decision.promoted:
                break
            expected = None if champion is None else champion.version
            try:
                registry.promote(settings(), name, version.version, why=decision.reason, expected=expected)
                break
            except registry.ChampionChangedError:  # the decision was about another
                if attempt + 1 == _TRIES:
                    raise
        recorder.metrics(decision_figures(decision))
        looked_at = {Tag.COMPARED_WITH: champion.version, Tag.TEST_IMAGES: images} if champion else {}
        recorder.tags({Tag.MODEL: name, Tag.VERSION: version.version, Tag.DECISION: decision.reason})
        recorder.json(decision.model_dump(mode="json"), "decision.json")
        recorder.text(promotion_page(decision, name=name, version=version.version), "promotion.html")
        recorder.flush()
        registry.describe(settings(), name, version.version, f"{decision.reason}\n\n{description}")
        # Last: these tags say that all of the above is done.
        registry.annotate(settings(), name, version.version, looked_at | decision_tags(decision))
    return refs.RegisteredRef(
        name=name,
        version=version.version,
        alias="champion" if decision.promoted else "challenger",
        reason=decision.reason,
        arm=best.arm,
        is_worse=decision.is_worse,
    )


def _earlier_comparisons(name: str, key: str, champion: registry.ModelVersion | None, images: str) -> int:
    """How many other versions were compared with this champion on these test images."""
    if champion is None:
        return 0
    comparisons = [v.tags for v in registry.versions(settings(), name) if v.tags.get(Tag.KEY) != key]
    this = (champion.version, images)
    return sum((tags.get(Tag.COMPARED_WITH), tags.get(Tag.TEST_IMAGES)) == this for tags in comparisons)


def _decided(name: str, key: str) -> refs.RegisteredRef | None:

    for version in registry.versions(settings(), name):
        if version.tags.get(Tag.KEY) == key and Tag.DECISION in version.tags:
            return refs.RegisteredRef(
                name=name,
                version=version.version,
                alias=next((alias for alias in get_args(vocabulary.Alias) if alias in version.aliases), None),
                reason=version.tags[Tag.DECISION],
                arm=version.tags.get(Tag.ARM, ""),
                is_worse=version.tags.get(Tag.WORSE) == _YES,
            )
    return None


def _origin(arm: str, dataset: refs.DatasetRef, parent: refs.RunRef) -> dict[str, str]:
    tags = {**parent.tags, Tag.ARM: arm, Tag.RETRAINING: parent.run_id, Tag.DATASET_DIGEST: dataset.digest}
    return tags | ({Tag.IMAGES_FOLDER: dataset.folder} if dataset.folder else {})


@dataclass(frozen=True)
class Measured:
    """The champion on the test images of today.

    Attributes:
        predictions: None where there is no champion, or an obstacle.
        obstacle: why it cannot be measured.
        trained_on: ids of the test images that it was trained or tuned on.
    """

    predictions: Predictions | None = None
    obstacle: str | None = None
    trained_on: frozenset[str] = frozenset()


def measure(
    champion: registry.ModelVersion | None, dataset: refs.DatasetRef, test: imageset.ImageSet, device: torch.device
) -> Measured:
    """The champion's predictions of the test images of a data set, or why there are none."""
    if champion is None:
        return Measured()

    with tempfile.TemporaryDirectory() as folder:
        model_folder = exported.classifier_folder(settings(), champion.source, Path(folder))
        classifier = trained.TrainedClassifier.load(model_folder, device)
        preprocessing = exported.trained_preprocessing(settings(), champion.source, Path(folder))
    if classifier.classes != test.classes:
        return _blocked("the champion knows other classes than these data have")
    takes = _shape(classifier.size, classifier.channels, preprocessing)
    given = _shape(test.size, test.channels, dataset.preprocessing)
    if takes != given:
        return _blocked(f"the champion takes images of {takes}, these are {given}")
    trained_on = _find_training_images(champion, dataset, test)
    if trained_on is None:
        return _blocked("which images the champion was trained on is not known any more")
    return Measured(predict_images(classifier, test, device), trained_on=trained_on)


def _find_training_images(
    champion: registry.ModelVersion, dataset: refs.DatasetRef, test: imageset.ImageSet
) -> frozenset[str] | None:
    """Test images that the champion was trained or tuned on; None where its data are gone."""
    if champion.tags.get(Tag.DATASET_DIGEST) == dataset.digest:
        return frozenset()  # divided as today

    try:
        return imageset.find_repeated_ids(test, training_images.images_behind(settings(), champion, ("train", "val")))
    except (errors.UserError, errors.ArtifactError):
        return None


def _blocked(why: str) -> Measured:
    return Measured(obstacle=f"{why}; promote by hand if that is meant")


def _shape(size: int, channels: int, preprocessing: scaling.Preprocessing) -> str:
    squared = {"crop": "cropped", "pad": "padded", "stretch": "stretched"}[preprocessing.fit]
    whites = [white for white in (preprocessing.scale.integer, preprocessing.scale.real) if white is not None]
    read = f", with {' and '.join(map(str, whites))} as white" if whites else ""
    return f"{size} px in {'colour' if channels == 3 else 'grey'}, {squared}{read}"


def example_image(images: imageset.ImageSet) -> bytes:
    """The first image as PNG bytes: the model's input example."""
    return png.of_pixels(images.images[0].cpu().numpy())


def decision_figures(decision: Decision) -> dict[str, float]:
    """The decision's numbers, for metrics."""
    metrics = {"promoted": float(decision.promoted), "worse": float(decision.is_worse)}
    if decision.figures is not None:
        for name, value in decision.figures.model_dump().items():
            if isinstance(value, dict):
                metrics |= {f"{name}/{part}": number for part, number in value.items()}
            elif isinstance(value, (int, float)):
                metrics[name] = float(value)
    return metrics


def decision_tags(decision: Decision) -> dict[str, str]:
    """The decision's outcome, reason and numbers, for a model version's tags."""
    numbers = {f"synaug.{name.replace('/', '.')}": f"{value:.6g}" for name, value in decision_figures(decision).items()}
    return numbers | {Tag.DECISION: decision.reason}


@step.action
def make_champion(name: str, version: str, why: str, expected: str) -> str:
    """Promote a version and give its number; `expected` as in `registry.promote`."""
    return registry.promote(settings(), name, version, by="a person", why=why, expected=expected).version


@task(name="go-back", persist_result=False)  # not tried twice: a second rollback undoes the first
def go_back(name: str, why: str, expected: str) -> str:
    """Roll back and give the number of the version that is champion again."""
    return registry.rollback(settings(), name, why=why, expected=expected).version
