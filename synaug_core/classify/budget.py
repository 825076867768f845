"""How many optimiser steps a training gets: `classifier.steps: auto`, one number for all arms of a division."""

import math
from collections.abc import Mapping, Sequence

from synaug_core.config import ArmConfig, ClassifierConfig

__all__ = ["count_steps", "resolve_steps"]

_PER_ROOT = 21.0
"""Steps at batches of 64 for each square root of images times classes: 1,600 for 720 images of 8 classes."""
_USUAL_BATCH = 64
_UNAUGMENTED = 0.5
"""Share of the steps where no arm augments its images: they are learnt sooner."""
_FEWEST, _MOST, _ROUNDED_TO = 300, 5000, 50


def count_steps(counts: Mapping[str, int], arms: Sequence[ArmConfig], batch_size: int) -> int:
    """Steps after which the slowest of these arms hardly learns any more, rounded up to 50, from 300 to 5,000.

    They grow with the square root of images times classes (measured: `docs/methods.md`), are inverse to the batch size,
    and half as many where no arm augments its images.

    Args:
        counts: real training images of each class; classes without any do not count.
        arms: the arms that share the number.
        batch_size: images of a step.
    """
    images, classes = sum(counts.values()), sum(count > 0 for count in counts.values())
    augmented = any(variant.augmentation != "none" for arm in arms for variant in arm.variants)
    steps = _PER_ROOT * math.sqrt(images * classes) * _USUAL_BATCH / batch_size
    steps *= 1.0 if augmented else _UNAUGMENTED
    return min(max(_FEWEST, math.ceil(steps / _ROUNDED_TO) * _ROUNDED_TO), _MOST)


def resolve_steps(config: ClassifierConfig, arms: Sequence[ArmConfig], counts: Mapping[str, int]) -> ClassifierConfig:
    """The configuration with a number of steps; arguments as in `count_steps`."""
    if config.steps != "auto":
        return config
    return config.model_copy(update={"steps": count_steps(counts, arms, config.batch_size)})
