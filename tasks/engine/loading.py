"""Artifacts back into memory, by reference; the last few image sets stay there."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.data import imageset, parquet
from synaug_core.evaluate import predictions, results
from synaug_core.generators import base, registry
from synaug_core.quality.judge import Judges
from synaug_core.quality.report import QualityReport
from synaug_core.refs import (
    ClassifierRef,
    ComparisonRef,
    DatasetRef,
    GeneratorRef,
    ImageSetRef,
    JudgesRef,
    PredictionsRef,
    QualityRef,
)
from synaug_core.services.mlflow.artifacts import fetch

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
]

_CACHED_SETS = 12


@functools.lru_cache(maxsize=_CACHED_SETS)
def _images(sha256: str, path: Path) -> imageset.ImageSet:
    return parquet.read(path)


def load_images(reference: ImageSetRef) -> imageset.ImageSet:
    """An image set; the tensor is shared between steps and must not be written to."""
    return _images(reference.sha256, fetch(reference))


def load_joined(references: tuple[ImageSetRef, ...]) -> imageset.ImageSet | None:
    """Several image sets as one; None where there is none."""
    return imageset.concatenate([load_images(r) for r in references]) if references else None


def load_generator(reference: GeneratorRef, device: str = "cpu") -> base.Generator:
    """A fitted generator."""
    return registry.load(fetch(reference), device)


def load_classifier(reference: ClassifierRef, device: str = "cpu") -> TrainedClassifier:
    """A trained classifier."""
    return TrainedClassifier.load(fetch(reference), device)


def load_judges(references: Sequence[JudgesRef], device: str = "cpu") -> Judges:
    """Classifiers that each left out a part of the training images, as one panel."""
    return Judges.join([Judges.load(fetch(reference), device) for reference in references])


def load_predictions(reference: PredictionsRef) -> predictions.Predictions:
    """Predictions of one classifier on one image set."""
    return predictions.Predictions.read(fetch(reference))


def load_comparison(reference: ComparisonRef) -> results.Comparison:
    """The arms side by side."""
    return results.Comparison.model_validate_json(fetch(reference).read_bytes())


def load_quality(reference: QualityRef) -> QualityReport:
    """What the judge found of synthetic images."""
    return QualityReport.model_validate_json(fetch(reference).read_bytes())


def load_report(dataset: DatasetRef) -> dict[str, Any]:
    """What was read, rejected and removed (a `DatasetReport` as JSON)."""
    report: dict[str, Any] = json.loads(fetch(dataset.report).read_bytes())
    return report
