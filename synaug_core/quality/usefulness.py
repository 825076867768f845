"""Usefulness: a classifier trained on synthetic images, tested on real ones. The measure that decides."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from synaug_core import checkpoints, frozen, seeds
from synaug_core.classify.training import TrainingJob
from synaug_core.classify.training import train as train_classifier
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.progress import Progress, part_of, silent
from synaug_core.quality.features import subset
from synaug_core.vocabulary import Precision

__all__ = ["Replaced", "Usefulness", "measure_usefulness", "replace_real_images"]

_ARM = ArmConfig(name="usefulness", sampling="balanced", augmentation="traditional")


@dataclass(frozen=True)
class Replaced:
    """Two training sets of equal counts.

    Attributes:
        real: real images only.
        synthetic: the same, but in some classes synthetic images in place of a part of them.
        counts: number of images of each class that were replaced.
    """

    real: ImageSet
    synthetic: ImageSet
    counts: dict[str, int]


class Usefulness(frozen.Frozen):
    """Scores on held-out real images of a classifier that learnt from real images, and of one that learnt from
    synthetic images in place of some.

    Recalls are by class, of classes with held-out images. Everything in [0, 1]; None without held-out images.
    """

    replaced: dict[str, int]
    """Images of each class that synthetic ones took the place of."""
    held_out: dict[str, int]
    """Held-out real images of each class."""
    real: float | None
    """Balanced accuracy after training on real images."""
    synthetic: float | None
    """After training on synthetic ones in their place."""
    real_recall: dict[str, float]
    synthetic_recall: dict[str, float]

    @property
    def difference(self) -> float | None:
        """Synthetic less real: about 0 where synthetic images are worth as much."""
        return None if self.real is None or self.synthetic is None else self.synthetic - self.real


def replace_real_images(
    train: ImageSet, synthetic: ImageSet, *, seed: int, real_share: float = _ARM.real_share
) -> Replaced:
    """Replace a part of the real images of each class by its synthetic ones.

    The share `real_share` of such a class stays real, as in the draws of an arm: a class of synthetic images alone
    beside others that have none would be known by what gives these away. Both sets hold equally many images of it,
    fewer than there are where the synthetic ones do not suffice. The other classes stay as they are, in both.
    """
    real_sets, synthetic_sets, counts = [], [], {}
    for name, n in synthetic.counts().items():
        class_images, substitutes = train.of_class(name), synthetic.of_class(name)
        size = len(class_images) if real_share == 1 else min(len(class_images), int(n / (1 - real_share)))
        replaced_count = size - math.ceil(real_share * size)
        if replaced_count:
            random = seeds.stream(seeds.derive(seed, "replaced", name))
            rows = subset(len(class_images), size, random)
            real_sets.append(class_images.take(rows.sort().values))
            synthetic_sets += [
                class_images.take(rows[replaced_count:].sort().values),
                substitutes.take(subset(n, replaced_count, random).sort().values),
            ]
            counts[name] = replaced_count
        else:
            real_sets.append(class_images)
            synthetic_sets.append(class_images)
    return Replaced(concatenate(real_sets), concatenate(synthetic_sets), counts)


def measure_usefulness(
    train: ImageSet,
    synthetic: ImageSet,
    held_out: ImageSet,
    config: ClassifierConfig,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    precision: Precision = "auto",
    progress: Progress = silent,
    deadline: float | None = None,
    checkpoint_for: Callable[[str], checkpoints.Checkpoint] | None = None,
) -> Usefulness | None:
    """Train on both sets of `replace_real_images` with the same seeds, balanced sampling and traditional augmentation.

    All steps are made and the last weights count, so that the held-out images choose nothing.

    Args:
        train: real training images.
        synthetic: of the classes to be looked at.
        held_out: real images that neither classifier nor generator has seen, as the validation images.
        config: the run's classifier.
        seed: of weights, batches and draws.
        device: where to train.
        precision: see `devices.resolve_precision`.
        progress: told the steps of both trainings.
        deadline: seconds from now for both.
        checkpoint_for: where the state of the training named `real` or `synthetic` is kept.

    Returns:
        None where no class has both real and synthetic images.

    Raises:
        ConfigError, WeightsError, DivergenceError, DeadlineError: as `classify.training.train`.
    """
    start_time, sets = time.monotonic(), replace_real_images(train, synthetic, seed=seed)
    if not sets.counts:
        return None
    recalls = []
    for number, (name, images) in enumerate({"real": sets.real, "synthetic": sets.synthetic}.items()):
        trained = train_classifier(
            TrainingJob(
                config,
                _ARM,
                images,
                images.take([]),
                init_seed=seeds.derive(seed, "weights"),
                batch_seed=seeds.derive(seed, "batches"),
                device=device,
                precision=precision,
                progress=part_of(progress, before=number * config.step_count, total_steps=2 * config.step_count),
                checkpoint=checkpoint_for(name) if checkpoint_for else None,
                deadline=None if deadline is None else deadline - (time.monotonic() - start_time),
            )
        )
        recalls.append(_recalls(trained.predict(held_out), held_out))
    real_recalls, synthetic_recalls = recalls
    return Usefulness(
        replaced=sets.counts,
        held_out=held_out.counts(),
        real=_mean(real_recalls),
        synthetic=_mean(synthetic_recalls),
        real_recall=real_recalls,
        synthetic_recall=synthetic_recalls,
    )


def _recalls(probabilities: NDArray[np.float32], images: ImageSet) -> dict[str, float]:
    label, predictions = images.labels.cpu().numpy(), probabilities.argmax(axis=1)
    rows_by_class = {name: label == i for i, name in enumerate(images.classes)}
    return {
        name: float((predictions[rows] == label[rows]).mean()) for name, rows in rows_by_class.items() if rows.any()
    }


def _mean(recalls: dict[str, float]) -> float | None:
    return sum(recalls.values()) / len(recalls) if recalls else None
