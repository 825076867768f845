"""Things in memory into artifacts of a run, and by reference back again; the last few image sets stay in memory."""

import functools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synaug_core import refs
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.data import imageset, parquet
from synaug_core.evaluate import predictions, results
from synaug_core.generators import base, registry
from synaug_core.quality.judge import Judges
from synaug_core.quality.report import QualityReport
from synaug_core.services.mlflow import artifacts
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.tags import ArtifactPath

__all__ = [
    "load_classifier",
    "load_comparison",
    "load_generator",
    "load_images",
    "load_joined",
    "load_judges",
    "load_predictions",
    "load_quality",
    "load_report",
    "store_classifier",
    "store_comparison",
    "store_generator",
    "store_images",
    "store_judges",
    "store_predictions",
    "store_quality",
    "store_text",
]

_CACHED_SETS = 12


@functools.lru_cache(maxsize=_CACHED_SETS)
def _images(sha256: str, path: Path) -> imageset.ImageSet:
    return parquet.read(path)


def load_images(reference: refs.ImageSetRef) -> imageset.ImageSet:
    """An image set; the tensor is shared between steps and must not be written to."""
    return _images(reference.sha256, artifacts.fetch(reference))


def load_joined(references: tuple[refs.ImageSetRef, ...]) -> imageset.ImageSet | None:
    """Several image sets as one; None where there is none."""
    return imageset.concatenate([load_images(r) for r in references]) if references else None


def load_generator(reference: refs.GeneratorRef, device: str = "cpu") -> base.Generator:
    """A fitted generator."""
    return registry.load(artifacts.fetch(reference), device)


def load_classifier(reference: refs.ClassifierRef, device: str = "cpu") -> TrainedClassifier:
    """A trained classifier."""
    return TrainedClassifier.load(artifacts.fetch(reference), device)


def load_judges(references: Sequence[refs.JudgesRef], device: str = "cpu") -> Judges:
    """Classifiers that each left out a part of the training images, as one panel."""
    return Judges.join([Judges.load(artifacts.fetch(reference), device) for reference in references])


def load_predictions(reference: refs.PredictionsRef) -> predictions.Predictions:
    """Predictions of one classifier on one image set."""
    return predictions.Predictions.read(artifacts.fetch(reference))


def load_comparison(reference: refs.ComparisonRef) -> results.Comparison:
    """The arms side by side."""
    return results.Comparison.model_validate_json(artifacts.fetch(reference).read_bytes())


def load_quality(reference: refs.QualityRef) -> QualityReport:
    """What the judge found of synthetic images."""
    return QualityReport.model_validate_json(artifacts.fetch(reference).read_bytes())


def load_report(dataset: refs.DatasetRef) -> dict[str, Any]:
    """What was read, rejected and removed (a `DatasetReport` as JSON)."""
    report: dict[str, Any] = json.loads(artifacts.fetch(dataset.report).read_bytes())
    return report


def store_images(recorder: Recorder, images: imageset.ImageSet, path: str, split: str) -> refs.ImageSetRef:
    """One Parquet file of images."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / Path(path).name
        parquet.write(images, local, split=split)
        uri, sha256 = artifacts.put_file(recorder.run, local, path)
    return refs.ImageSetRef(uri=uri, sha256=sha256, run_id=recorder.run.run_id, counts=images.counts())


def store_generator(recorder: Recorder, generator: base.Generator) -> refs.GeneratorRef:
    """A folder with the fitted models of a group of classes."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / ArtifactPath.GENERATOR
        generator.save(local)
        uri, sha256 = artifacts.put_folder(recorder.run, local, ArtifactPath.GENERATOR)
    return refs.GeneratorRef(
        uri=uri,
        sha256=sha256,
        run_id=recorder.run.run_id,
        kind=generator.kind,
        classes=generator.classes,
        notes=tuple(dict.fromkeys(note for report in generator.reports.values() for note in report.remarks())),
    )


def store_classifier(recorder: Recorder, classifier: TrainedClassifier) -> refs.ClassifierRef:
    """A folder with one trained classifier."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / ArtifactPath.CLASSIFIER
        classifier.save(local)
        uri, sha256 = artifacts.put_folder(recorder.run, local, ArtifactPath.CLASSIFIER)
    return refs.ClassifierRef(uri=uri, sha256=sha256, run_id=recorder.run.run_id, classes=classifier.classes)


def store_judges(recorder: Recorder, judges: Judges) -> refs.JudgesRef:
    """A folder with classifiers that each left out a part of the training images."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / ArtifactPath.JUDGES
        judges.save(local)
        uri, sha256 = artifacts.put_folder(recorder.run, local, ArtifactPath.JUDGES)
    return refs.JudgesRef(uri=uri, sha256=sha256, run_id=recorder.run.run_id, folds=judges.folds)


def store_predictions(recorder: Recorder, predicted: predictions.Predictions, path: str) -> refs.PredictionsRef:
    """One Parquet file of predictions."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / Path(path).name
        predicted.write(local)
        uri, sha256 = artifacts.put_file(recorder.run, local, path)
    return refs.PredictionsRef(uri=uri, sha256=sha256, run_id=recorder.run.run_id, images=len(predicted.labels))


def store_text(recorder: Recorder, text: str, path: str) -> refs.Reference:
    """One text file that later steps read."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / Path(path).name
        local.write_text(text, encoding="utf-8")
        uri, sha256 = artifacts.put_file(recorder.run, local, path)
    return refs.Reference(uri=uri, sha256=sha256, run_id=recorder.run.run_id)


def store_quality(recorder: Recorder, report: QualityReport) -> refs.QualityRef:
    """The report on a set of synthetic images, and the means over its classes."""
    stored = store_text(recorder, report.model_dump_json(indent=1), "quality.json")
    return refs.QualityRef(**stored.model_dump(), overall={name: o.value for name, o in report.overall().items()})


def store_comparison(
    recorder: Recorder, comparison: results.Comparison, best: refs.RepetitionRef
) -> refs.ComparisonRef:
    """The comparison's JSON, and the repetition whose model it would register."""
    stored = store_text(recorder, comparison.model_dump_json(indent=1), ArtifactPath.COMPARISON)
    return refs.ComparisonRef(**stored.model_dump(), best=best)
