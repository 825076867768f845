"""The champion on the test images of today, and what a decision leaves behind."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synaug_core.services.settings import settings
from tasks.predicting import predictions

if TYPE_CHECKING:
    import torch

    from synaug_core.data.imageset import ImageSet
    from synaug_core.evaluate.predictions import Predictions
    from synaug_core.evaluate.promotion import Decision
    from synaug_core.refs import DatasetRef
    from synaug_core.services.registry import ModelVersion

__all__ = ["Measured", "decision_tags", "example_image", "figures", "measure"]


@dataclass(frozen=True)
class Measured:
    """The champion on the test images of today.

    Attributes:
        predictions: None where there is no champion, or an obstacle.
        obstacle: why it cannot be measured.
        seen: ids of the test images that it was trained or tuned on.
    """

    predictions: Predictions | None = None
    obstacle: str | None = None
    seen: frozenset[str] = frozenset()


def measure(champion: ModelVersion | None, dataset: DatasetRef, test: ImageSet, device: torch.device) -> Measured:
    """What the champion says of the test images of a data set."""
    if champion is None:
        return Measured()
    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.services.serving import classifier_folder, trained_fit

    with tempfile.TemporaryDirectory() as folder:
        found = classifier_folder(settings(), champion.source, Path(folder))
        classifier = TrainedClassifier.load(found, device)
        fit = trained_fit(settings(), champion.source, Path(folder))
    if classifier.classes != test.classes:
        return _blocked("the champion knows other classes than these data have")
    takes, given = _shape(classifier.size, classifier.channels, fit), _shape(test.size, test.channels, dataset.fit)
    if takes != given:
        return _blocked(f"the champion takes images of {takes}, these are {given}")
    seen = _seen(champion, dataset, test)
    if seen is None:
        return _blocked("which images the champion was trained on is not known any more")
    return Measured(predictions(classifier, test, device), seen=seen)


def _seen(champion: ModelVersion, dataset: DatasetRef, test: ImageSet) -> frozenset[str] | None:
    """Test images that the champion was trained or tuned on; None where its data are gone."""
    if champion.tags.get("synaug.dataset_digest") == dataset.digest:
        return frozenset()  # divided as today
    from synaug_core.data.seen import seen_in
    from synaug_core.errors import ArtifactError, UserError
    from synaug_core.services.service_reference import images_behind

    try:
        return seen_in(test, images_behind(settings(), champion, ("train", "val")))
    except (UserError, ArtifactError):
        return None


def _blocked(why: str) -> Measured:
    return Measured(obstacle=f"{why}; promote by hand if that is meant")


def _shape(size: int, channels: int, fit: str) -> str:
    made = {"crop": "cropped", "pad": "padded", "stretch": "stretched"}[fit]
    return f"{size} px in {'colour' if channels == 3 else 'grey'}, {made}"


def example_image(images: ImageSet) -> bytes:
    """The first image as PNG bytes: the model's input example."""
    from synaug_core.data.png import of_pixels

    return of_pixels(images.images[0].cpu().numpy())


def figures(decision: Decision) -> dict[str, float]:
    """The decision's numbers, for metrics."""
    found = {"promoted": float(decision.promoted)}
    if decision.figures is not None:
        for name, value in decision.figures.model_dump().items():
            if isinstance(value, dict):
                found |= {f"{name}/{part}": number for part, number in value.items()}
            elif isinstance(value, (int, float)):
                found[name] = float(value)
    return found


def decision_tags(decision: Decision) -> dict[str, str]:
    """The decision's outcome, reason and numbers, for a model version's tags."""
    numbers = {f"synaug.{name.replace('/', '.')}": f"{value:.6g}" for name, value in figures(decision).items()}
    return numbers | {"synaug.decision": decision.reason}
