"""Things in memory into artifacts of a run, and the reference to them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from synaug_core.refs import (
    ClassifierRef,
    ComparisonRef,
    GeneratorRef,
    ImageSetRef,
    JudgesRef,
    PredictionsRef,
    QualityRef,
    Reference,
    RepetitionRef,
)
from synaug_core.services.mlflow.artifacts import put_file, put_folder
from synaug_core.services.mlflow.tags import ArtifactPath

if TYPE_CHECKING:
    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.data.imageset import ImageSet
    from synaug_core.evaluate.predictions import Predictions
    from synaug_core.evaluate.results import Comparison
    from synaug_core.generators.base import Generator
    from synaug_core.quality.judge import Judges
    from synaug_core.quality.report import QualityReport
    from synaug_core.services.mlflow.recorder import Recorder

__all__ = [
    "store_classifier",
    "store_comparison",
    "store_generator",
    "store_images",
    "store_judges",
    "store_predictions",
    "store_quality",
    "store_text",
]


def store_images(recorder: Recorder, images: ImageSet, path: str, split: str) -> ImageSetRef:
    """One Parquet file of images."""
    from synaug_core.data import parquet

    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / Path(path).name
        parquet.write(images, local, split=split)
        uri, sha256 = put_file(recorder.run, local, path)
    return ImageSetRef(uri=uri, sha256=sha256, run_id=recorder.run.run_id, counts=images.counts())


def store_generator(recorder: Recorder, generator: Generator) -> GeneratorRef:
    """A folder with the fitted models of a group of classes."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / ArtifactPath.GENERATOR
        generator.save(local)
        uri, sha256 = put_folder(recorder.run, local, ArtifactPath.GENERATOR)
    return GeneratorRef(
        uri=uri,
        sha256=sha256,
        run_id=recorder.run.run_id,
        kind=generator.kind,
        classes=generator.classes,
        notes=tuple(dict.fromkeys(note for report in generator.reports.values() for note in report.remarks())),
    )


def store_classifier(recorder: Recorder, classifier: TrainedClassifier) -> ClassifierRef:
    """A folder with one trained classifier."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / ArtifactPath.CLASSIFIER
        classifier.save(local)
        uri, sha256 = put_folder(recorder.run, local, ArtifactPath.CLASSIFIER)
    return ClassifierRef(uri=uri, sha256=sha256, run_id=recorder.run.run_id, classes=classifier.classes)


def store_judges(recorder: Recorder, judges: Judges) -> JudgesRef:
    """A folder with classifiers that each left out a part of the training images."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / ArtifactPath.JUDGES
        judges.save(local)
        uri, sha256 = put_folder(recorder.run, local, ArtifactPath.JUDGES)
    return JudgesRef(uri=uri, sha256=sha256, run_id=recorder.run.run_id, folds=judges.folds)


def store_predictions(recorder: Recorder, predictions: Predictions, path: str) -> PredictionsRef:
    """One Parquet file of predictions."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / Path(path).name
        predictions.write(local)
        uri, sha256 = put_file(recorder.run, local, path)
    return PredictionsRef(uri=uri, sha256=sha256, run_id=recorder.run.run_id, images=len(predictions.labels))


def store_text(recorder: Recorder, text: str, path: str) -> Reference:
    """One text file that later steps read."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / Path(path).name
        local.write_text(text, encoding="utf-8")
        uri, sha256 = put_file(recorder.run, local, path)
    return Reference(uri=uri, sha256=sha256, run_id=recorder.run.run_id)


def store_quality(recorder: Recorder, report: QualityReport) -> QualityRef:
    """The report on a set of synthetic images, and the means over its classes."""
    stored = store_text(recorder, report.model_dump_json(indent=1), "quality.json")
    return QualityRef(**stored.model_dump(), overall={name: o.value for name, o in report.overall().items()})


def store_comparison(recorder: Recorder, comparison: Comparison, best: RepetitionRef) -> ComparisonRef:
    """The comparison's JSON, and the repetition whose model it would register."""
    stored = store_text(recorder, comparison.model_dump_json(indent=1), ArtifactPath.COMPARISON)
    return ComparisonRef(**stored.model_dump(), best=best)
