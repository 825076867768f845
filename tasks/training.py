"""One training of one arm: the images it learns from, and its predictions of the test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core.classify.search_space import Tuned
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.refs import DatasetRef, GeneratorRef, RepetitionRef, SyntheticRef
from synaug_core.services.mlflow.tags import ArtifactPath, Tag
from tasks.engine import loading, recording, slots
from tasks.engine.context import Context
from tasks.engine.progress import progress
from tasks.engine.step import step

if TYPE_CHECKING:
    import torch

    from synaug_core.classify.online import Online
    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.data.imageset import ImageSet
    from synaug_core.evaluate.predictions import Predictions

__all__ = ["online_synthesis", "predictions", "train_repetition", "training_images"]


def predictions(classifier: TrainedClassifier, images: ImageSet, device: torch.device) -> Predictions:
    """Probabilities of every image beside its label."""
    from synaug_core.evaluate.predictions import Predictions

    return Predictions(
        ids=images.ids,
        labels=images.labels.numpy(),
        probabilities=classifier.predict(images, device=device),
        classes=classifier.classes,
    )


def training_images(
    dataset: DatasetRef, arm: ArmConfig, synthetic: tuple[SyntheticRef, ...], share: float | None
) -> ImageSet:
    """The real training images, then the first `share` of each class's synthetic ones (None: all of them)."""
    from synaug_core.data.imageset import concatenate

    train = loading.load_images(dataset.train)
    images = loading.load_joined(synthetic) if arm.synthesis is not None else None
    if images is None:
        return train
    part = 1.0 if share is None else share
    return concatenate([train, images.head_of_each_class({c: round(n * part) for c, n in images.counts().items()})])


def online_synthesis(
    dataset: DatasetRef,
    arm: ArmConfig,
    generators: tuple[GeneratorRef, ...],
    config: ClassifierConfig,
    device: torch.device,
) -> Online | None:
    """The maker of an arm's images, from its frozen generators; None for an arm that makes none in the loop."""
    from synaug_core.synthesis.targeted.online import OnlineSynthesis

    if arm.online is None:
        return None
    fitted = [loading.load_generator(reference, str(device)) for reference in generators]
    train = loading.load_images(dataset.train)
    return OnlineSynthesis(fitted, train, arm.online, batch_size=config.batch_size, device=device)


@step
def train_repetition(
    context: Context,
    arm: ArmConfig,
    repetition: int,
    synthetic: tuple[SyntheticRef, ...],
    online: tuple[GeneratorRef, ...],
    config: ClassifierConfig,
    tuned: Tuned,
) -> RepetitionRef:
    """Train, keep the classifier that `config.keep` calls best on the validation images, predict the test images once.

    The initial weights depend on the repetition alone, so that the arms of one repetition are a pair.
    """
    from synaug_core.classify.training import train
    from synaug_core.evaluate.scorer import scores
    from synaug_core.seeds import derive
    from tasks.engine import loading, storing

    dataset = context.dataset
    saved = recording.checkpoint()
    tags = {Tag.ARM: arm.name, Tag.SEED: str(repetition)}
    with (
        recording.recorded("repetition", f"{arm.name} {repetition}", context.run, tags) as recorder,
        slots.device_slot(context.compute) as device,
    ):
        images = training_images(dataset, arm, synthetic, tuned.values.get("synthetic_share"))
        val, test = loading.load_images(dataset.val), loading.load_images(dataset.test)
        fitted = tuned.apply(config)
        classifier = train(
            fitted,
            arm,
            images,
            val,
            init_seed=derive(context.seed, "init", repetition),
            batch_seed=derive(context.seed, "batches", arm.name, repetition),
            device=device,
            progress=progress("training", f"{arm.name} {repetition}"),
            checkpoint=saved,
            deadline=context.compute.deadline,
            online=online_synthesis(dataset, arm, online, fitted, device),
        )
        seen_val = predictions(classifier, val, device)
        on_val = scores(seen_val)
        on_test = predictions(classifier, test, device)
        recorder.params(fitted.model_dump() | arm.model_dump() | {"training_images": len(images)})
        for evaluation in classifier.history.evaluations:
            recorder.metrics(evaluation.model_dump(exclude={"step"}), evaluation.step)
        recorder.metrics({"best_step": classifier.history.best_step, "steps": classifier.history.stopped_at})
        recorder.metrics({f"val/{name}": v for name, v in on_val.items() if "/" not in name})
        recorder.metrics({f"test/{name}": v for name, v in scores(on_test).items()})
        reference = RepetitionRef(
            arm=arm.name,
            repetition=repetition,
            validation=on_val["balanced_accuracy"],
            classifier=storing.store_classifier(recorder, classifier),
            predictions=storing.store_predictions(recorder, on_test, ArtifactPath.TEST_PREDICTIONS),
            validated=storing.store_predictions(recorder, seen_val, ArtifactPath.VALIDATION_PREDICTIONS),
            run_id=recorder.run.run_id,
        )
    saved.clear()
    return reference
