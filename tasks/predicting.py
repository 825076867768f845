"""What a classifier says of a set of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.data.imageset import ImageSet
    from synaug_core.evaluate.predictions import Predictions

__all__ = ["predictions"]


def predictions(classifier: TrainedClassifier, images: ImageSet, device: torch.device) -> Predictions:
    """Probabilities of every image beside its label."""
    from synaug_core.evaluate.predictions import Predictions

    return Predictions(
        ids=images.ids,
        labels=images.labels.numpy(),
        probabilities=classifier.predict(images, device=device),
        classes=classifier.classes,
    )
