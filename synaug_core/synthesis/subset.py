"""Which of many images are taken: neither those that a classifier is sure of nor those that it cannot make sense of,
and of these the ones that cover the class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaug_core import errors, seeds
from synaug_core.config.synthesis import SubsetConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.pixels import to_float
from synaug_core.synthesis.targeted.uncertainty import dropout_posterior, entropy_of_mean, mutual_information

if TYPE_CHECKING:
    from synaug_core.classify.trained import TrainedClassifier

__all__ = ["Describe", "choose", "cover", "measure_uncertainty", "middle"]

Describe = Callable[[ImageSet], Tensor]
"""Images to features, float32 (n, d) on the CPU, in which covering is measured."""
_MIDDLE = 0.5
"""Share of the candidates, those of middle uncertainty, among which the ones that cover the class are sought."""
_AT_ONCE = 256


def choose(uncertainty: Tensor, points: Tensor, anchors: Tensor, count: int) -> Tensor:
    """The candidates to take, int64 (min(count, n),), in the order in which they are chosen.

    The half of middle uncertainty stays in the running (`middle`); of these the ones that cover the class are taken
    (`cover`), the class's real images counting as covered already.

    Args:
        uncertainty: float (n,).
        points: features of the candidates, float (n, d).
        anchors: features of the class's real images, float (m, d).
        count: how many to choose.
    """
    rows = middle(uncertainty, max(count, round(_MIDDLE * len(uncertainty))))
    return rows[cover(points[rows], anchors, count)]


def middle(values: Tensor, count: int) -> Tensor:
    """Positions of the `count` values in the middle of their order, ascending, int64; all where there are no more."""
    order = values.argsort(stable=True)
    spare = max(0, len(values) - count)
    return order[spare // 2 : len(values) - (spare - spare // 2)].sort().values


def cover(points: Tensor, anchors: Tensor, count: int) -> Tensor:
    """Greedy k-centre: again and again the point farthest from all anchors and from the points that were chosen (Sener
    and Savarese, arXiv 1708.00489); of equals the first.

    Args:
        points: float (n, d).
        anchors: float (m, d); none: the first point begins.
        count: how many to choose.

    Returns:
        Positions, int64 (min(count, n),), in the order of the choice.
    """
    precise = points.double()
    distance = torch.full((len(points),), torch.inf, dtype=torch.float64)
    for part in torch.split(anchors.double(), _AT_ONCE) if len(anchors) else ():
        distance = torch.minimum(distance, torch.cdist(precise, part).min(1).values)
    chosen = []
    for _ in range(min(count, len(points))):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (precise - precise[chosen[-1]]).norm(dim=1))
        distance[chosen[-1]] = -1.0
    return torch.tensor(chosen, dtype=torch.int64)


def measure_uncertainty(
    classifiers: Sequence[TrainedClassifier], images: ImageSet, config: SubsetConfig, *, samples: int, seed: int
) -> Tensor:
    """How unsure classifiers of real images are of each image, in nats, float64 (n,) on the CPU.

    `entropy`: of the classifiers' mean prediction. `mi`: the mutual information of `samples` dropout masks of the first
    classifier, the same for all images.

    Raises:
        ConfigError: no classifier, or `mi` and one without dropout.
    """
    if not classifiers:
        raise errors.ConfigError("synthesis.subset: informative images need a classifier trained on real images")
    if config.uncertainty == "entropy":
        predictions = [torch.as_tensor(classifier.predict(images)).double() for classifier in classifiers]
        return entropy_of_mean(torch.stack(predictions))
    model = classifiers[0].model.eval()
    if model.dropout.rate == 0:
        raise errors.ConfigError(
            "synthesis.subset.uncertainty: mi needs a classifier with dropout; set classifier.dropout above 0 or take "
            "entropy"
        )
    device = model.mean.device
    posterior = dropout_posterior(model, samples, seeds.stream(seeds.derive(seed, "masks"), device))
    with torch.no_grad():
        parts = [
            mutual_information(posterior(to_float(part.to(device)))).cpu()
            for part in torch.split(images.images, _AT_ONCE)
        ]
    return torch.cat(parts)
