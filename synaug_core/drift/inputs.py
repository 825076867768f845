"""Images as rows of numbers, for the test of drift."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.config.watch import FeatureKind, Features
from synaug_core.quality.features import FrozenFeatures, features, find_extractor

__all__ = ["Recent", "Served", "choose_features", "describe_images", "gather_recent"]

_SIDE = 8


class Served(Protocol):
    """What was kept of one image that a model answered for."""

    @property
    def predicted(self) -> str:
        """Class name."""

    @property
    def pixels(self) -> NDArray[np.uint8] | None:
        """uint8 (channels, size, size), where they were kept."""

    @property
    def features(self) -> NDArray[np.float32] | None:
        """float32 (d,): the classifier's before its head, where they were kept."""


@dataclass(frozen=True, eq=False)
class Recent:
    """Recent images as rows of numbers; those whose pixels were kept come first.

    Attributes:
        features: float32 (n, d), on the CPU.
        classes: int64 (n,): predicted.
        pixels: uint8 (k, channels, size, size): the pixels of the first k.
    """

    features: Tensor
    classes: Tensor
    pixels: Tensor


def choose_features(
    configured: Features, served: Sequence[Served], classifier: TrainedClassifier, minimum: int
) -> FeatureKind:
    """By what recent images are compared.

    Args:
        configured: what `watch.features` says.
        served: the recent images.
        classifier: that answered for them. One that is frozen gives frozen features itself.
        minimum: images with pixels that `auto` needs for frozen features.
    """
    if configured in ("classifier", "thumbnails"):
        return configured
    if classifier.config.training == "frozen":
        return "classifier"
    if configured == "frozen":
        return "frozen"
    if sum(image.pixels is not None for image in served) < minimum:
        return "classifier"
    extractor = find_extractor(classifier.config, channels=classifier.channels, size=classifier.size)
    return "classifier" if extractor.network is None else "frozen"


def gather_recent(served: Iterable[Served], classifier: TrainedClassifier, kind: FeatureKind) -> Recent:
    """Recent images as `describe_images` has them, and after these the kept features of images without pixels.

    An image of another shape than the classifier takes is left out, and so are features of another length or of a
    class that it does not know; for frozen features and thumbnails kept features are of no use.

    Args:
        served: in any order, which stays.
        classifier: of the same version as the kept features.
        kind: as in `describe_images`.
    """
    index = {name: i for i, name in enumerate(classifier.classes)}
    shape = (classifier.channels, classifier.size, classifier.size)
    width = classifier.model.width if kind == "classifier" else None
    pixels, predicted_classes, kept_features = [], [], []
    for image in served:
        if image.pixels is not None and image.pixels.shape == shape:
            pixels.append(torch.from_numpy(image.pixels))
        elif image.features is not None and len(image.features) == width and image.predicted in index:
            kept_features.append(torch.from_numpy(image.features))
            predicted_classes.append(index[image.predicted])
    images = torch.stack(pixels) if pixels else torch.empty(0, *shape, dtype=torch.uint8)
    gathered_features, classes = describe_images(images, classifier, kind)
    if kept_features:
        gathered_features = torch.cat([gathered_features, torch.stack(kept_features)])
        classes = torch.cat([classes, torch.tensor(predicted_classes)])
    return Recent(gathered_features, classes, images)


def describe_images(images: Tensor, classifier: TrainedClassifier, kind: FeatureKind) -> tuple[Tensor, Tensor]:
    """Each image's features and its predicted class.

    Args:
        images: uint8 (n, channels, size, size).
        classifier: computes where its model is.
        kind: a frozen backbone's features, the classifier's before its head, or the mean colours of 8 x 8 fields.

    Returns:
        float32 (n, d) and int64 (n,), on the CPU.

    Raises:
        WeightsError: the frozen backbone's weights cannot be had.
    """
    classifier_features = features(images, classifier)
    with torch.no_grad():
        classes = classifier.model.head(classifier_features.to(classifier.model.mean.device)).argmax(dim=1).cpu()
    if kind == "classifier":
        return classifier_features, classes
    if kind == "thumbnails":
        return _thumbnails(images), classes
    channels, size, device = classifier.channels, classifier.size, classifier.model.mean.device
    return FrozenFeatures.load(classifier.config, channels=channels, size=size, device=device).raw(images), classes


def _thumbnails(images: Tensor) -> Tensor:
    small = [
        torch.nn.functional.adaptive_avg_pool2d(part.float() / 255, _SIDE)
        for part in torch.split(images, 256)
        if len(part)
    ]
    return torch.cat(small).flatten(1) if small else torch.empty(0, images.shape[1] * _SIDE**2)
