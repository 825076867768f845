"""What an arm trains on: the real images, and its share of the synthetic ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core.config import ArmConfig
from synaug_core.refs import DatasetRef, SyntheticRef
from tasks.loading import load_images, load_joined

if TYPE_CHECKING:
    from synaug_core.data.imageset import ImageSet

__all__ = ["training_images"]


def training_images(
    dataset: DatasetRef, arm: ArmConfig, synthetic: tuple[SyntheticRef, ...], share: float | None
) -> ImageSet:
    """The real training images, then the first `share` of each class's synthetic ones (None: all of them)."""
    from synaug_core.data.imageset import concatenate

    train = load_images(dataset.train)
    made = load_joined(synthetic) if arm.synthesis is not None else None
    if made is None:
        return train
    part = 1.0 if share is None else share
    return concatenate([train, made.head_of_each_class({c: round(n * part) for c, n in made.counts().items()})])
