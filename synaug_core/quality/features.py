"""Images as points: the features of a classifier trained on real images only."""

import torch
from torch import Tensor

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.data.imageset import ImageSet

__all__ = ["features", "subset"]


def features(images: ImageSet | Tensor, classifier: TrainedClassifier, *, batch: int = 256) -> Tensor:
    """Pooled features before the head, dropout off, not normalised: float32 (n, d) on the CPU.

    Args:
        images: an image set, or uint8 (n, channels, size, size).
        classifier: computes where its model is.
        batch: images in one pass.
    """
    pixels = images.images if isinstance(images, ImageSet) else images
    model = classifier.model.eval()
    with torch.no_grad():
        parts = [model.features(p.to(model.mean.device)).cpu() for p in torch.split(pixels, batch) if len(p)]
    return torch.cat(parts) if parts else torch.empty(0, model.width)


def subset(n: int, size: int, stream: torch.Generator) -> Tensor:
    """`size` different positions below `n` in random order, int64; all of them where `size` is as large."""
    return torch.randperm(n, generator=stream)[:size]
