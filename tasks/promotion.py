"""The champion on the test images of today, and what a decision leaves behind."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from synaug_core.services.settings import settings
from tasks.predicting import predictions

if TYPE_CHECKING:
    import torch

    from synaug_core.data.imageset import ImageSet
    from synaug_core.evaluate.predictions import Predictions
    from synaug_core.evaluate.promotion import Decision
    from synaug_core.services.registry import ModelVersion

__all__ = ["decision_tags", "example_image", "figures", "measure"]


def measure(
    champion: ModelVersion | None, test: ImageSet, device: torch.device
) -> tuple[Predictions | None, str | None]:
    """What the champion says of the test images, or why it cannot say anything; neither where there is none."""
    if champion is None:
        return None, None
    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.services.serving import classifier_folder

    with tempfile.TemporaryDirectory() as folder:
        found = classifier_folder(settings(), champion.source, Path(folder))
        classifier = TrainedClassifier.load(found, device)
    if classifier.classes != test.classes:
        return None, "the champion knows other classes than these data have; promote by hand if that is meant"
    takes, given = _shape(classifier.size, classifier.channels), _shape(test.size, test.channels)
    if takes != given:
        return None, f"the champion takes images of {takes}, these are {given}; promote by hand if that is meant"
    return predictions(classifier, test, device), None


def _shape(size: int, channels: int) -> str:
    return f"{size} px in {'colour' if channels == 3 else 'grey'}"


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
