"""How many optimiser steps a training gets: `classifier.steps: auto`, one number for all arms of a division."""

import math
from collections.abc import Mapping, Sequence

from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.config.classifier import Training

__all__ = ["count_steps", "resolve_steps"]

_PER_ROOT = 21.0
"""Steps at batches of 64 for each square root of images times classes: 1,600 for 720 images of 8 classes."""
_FINE_TUNED = 1 / 7
"""Share of the steps where a pretrained network with its head is fine-tuned: 250 for these, about 22 times each."""
_USUAL_BATCH = 64
_UNAUGMENTED = 0.5
"""Share of the steps where no arm augments its images: they are learnt sooner."""
_FEWEST, _FEWEST_FINE_TUNED, _MOST, _ROUNDED_TO = 300, 100, 5000, 50


def count_steps(
    counts: Mapping[str, int], arms: Sequence[ArmConfig], batch_size: int, training: Training = "scratch"
) -> int:
    """Steps after which the slowest of these arms hardly learns any more, rounded up to 50, from 300 (fine-tuned: 100)
    to 5,000.

    They grow with the square root of images times classes (measured: `docs/methods.md`), are inverse to the batch size,
    half as many where no arm augments its images, and a seventh where a pretrained network is fine-tuned.

    Args:
        counts: real training images of each class; classes without any do not count.
        arms: the arms that share the number.
        batch_size: images of a step.
        training: the way of training; a frozen backbone needs none, and has the number of `scratch`.
    """
    images, classes = sum(counts.values()), sum(count > 0 for count in counts.values())
    augmented = any(variant.augmentation != "none" for arm in arms for variant in arm.variants)
    steps = _PER_ROOT * math.sqrt(images * classes) * _USUAL_BATCH / batch_size
    steps *= 1.0 if augmented else _UNAUGMENTED
    steps *= _FINE_TUNED if training == "fine_tuned" else 1.0
    fewest = _FEWEST_FINE_TUNED if training == "fine_tuned" else _FEWEST
    return min(max(fewest, math.ceil(steps / _ROUNDED_TO) * _ROUNDED_TO), _MOST)


def resolve_steps(config: ClassifierConfig, arms: Sequence[ArmConfig], counts: Mapping[str, int]) -> ClassifierConfig:
    """The configuration with a number of steps; arguments as in `count_steps`."""
    if config.steps != "auto":
        return config
    return config.model_copy(update={"steps": count_steps(counts, arms, config.batch_size, config.training)})
