"""Images as points: the features of a pretrained backbone whose weights stay as they are, or those of a classifier that
was trained on real images only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from synaug_core import digests, errors, frozen
from synaug_core.classify.frozen.features import features_of
from synaug_core.classify.model import Classifier, build
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.config import ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.nets.shown import Standardised

__all__ = [
    "ClassifierFeatures",
    "Extractor",
    "FrozenFeatures",
    "Points",
    "extractor_config",
    "features",
    "features_for_splits",
    "find_extractor",
    "scale_of",
    "subset",
]

_NEEDED = ("backbone", "pretrained", "weights_file", "input_size", "stem", "training")
"""What a frozen backbone's features depend on."""
_SMALL, _SHOWN_OF_SMALL, _SHOWN = 32, 64, 128
"""Pixels a side up to which an image is small, what the backbone is shown of a small one, and of others. Small images
hold no more than it sees so, in a quarter of the time; of large ones 128 px tell a photograph's subject."""


class Points(Protocol):
    """A space in which images are points."""

    @property
    def title(self) -> str:
        """What the space is of: the end of a sentence."""

    def __call__(self, images: ImageSet | Tensor) -> Tensor:
        """Images, as a set or uint8 (n, channels, size, size), to float32 (n, d) on the CPU."""


def features(images: ImageSet | Tensor, classifier: TrainedClassifier, *, batch: int = 256) -> Tensor:
    """A classifier's pooled features before the head, dropout off, not normalised: float32 (n, d) on the CPU.

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


@dataclass(frozen=True, eq=False)
class ClassifierFeatures:
    """The features of a classifier trained on real images only, as `features` has them."""

    classifier: TrainedClassifier
    title: str = "a classifier trained on the real images"

    def __call__(self, images: ImageSet | Tensor) -> Tensor:
        """Float32 (n, d) on the CPU."""
        return features(images, self.classifier)


class Extractor(frozen.Frozen):
    """By which frozen backbone images are described."""

    network: ClassifierConfig | None = None
    """As `extractor_config` has it; None: there is none, and the run's classifier has to serve."""
    problem: str = ""
    """Why there is none; empty where there is one."""

    @property
    def note(self) -> str:
        """What that means for judges and quality; empty where there is one."""
        meaning = "judges and quality have the run's classifier in place of frozen features: "
        return meaning + self.problem if self.problem else ""


def extractor_config(classifier: ClassifierConfig, size: int) -> ClassifierConfig:
    """The frozen backbone that describes images beside a classifier.

    That of the classifier itself where it is frozen, as its features are computed anyway; else the one whose weights
    come with synaug.

    Args:
        classifier: the run's; or what this function gave.
        size: of the images, pixels a side.
    """
    if classifier.training != "frozen":
        shown = _SHOWN_OF_SMALL if size <= _SMALL else _SHOWN
        classifier = ClassifierConfig.model_validate({"training": "frozen", "input_size": shown})
    return ClassifierConfig.model_validate(classifier.model_dump(include=set(_NEEDED)))


def find_extractor(classifier: ClassifierConfig, *, channels: int, size: int) -> Extractor:
    """The frozen backbone that describes images beside a classifier, if its weights can be had.

    Args:
        classifier: the run's.
        channels: of the images.
        size: of the images, pixels a side.

    Raises:
        WeightsError: the classifier itself is frozen, and its weights cannot be had.
    """
    config = extractor_config(classifier, size)
    try:
        _backbone(config, channels, size, "cpu")
    except errors.WeightsError as error:
        if classifier.training == "frozen":
            raise
        from synaug_core.classify.backbones import ADVICE

        return Extractor(problem=str(error).removesuffix(f", or {ADVICE}"))
    return Extractor(network=config)


@functools.lru_cache(maxsize=4)
def _backbone(config: ClassifierConfig, channels: int, size: int, device: str) -> Classifier:
    """A classifier whose head has learnt nothing, shared by all that describe images."""
    unset = (0.0,) * channels  # a pretrained backbone brings its own
    model = build(config, channels=channels, size=size, classes=("",), seed=0, mean=unset, std=unset)
    return model.to(device).eval()


@dataclass(frozen=True, eq=False)
class FrozenFeatures:
    """The features of a frozen backbone: the last layer's, and mean and deviation of every channel of every stage.

    Early stages see texture and sharpness, late ones what is shown. Features of an image are remembered within a
    process, for the frozen classifier too.

    Attributes:
        config: of the backbone.
        channels, size: of the images.
        model: a classifier whose head has learnt nothing.
        scale: takes the mean off each feature and divides by its deviation, as the head of a frozen classifier has it;
            until `fit` it changes nothing.
    """

    config: ClassifierConfig
    channels: int
    size: int
    model: Classifier = field(repr=False)
    scale: Standardised = field(repr=False)

    @classmethod
    def load(
        cls, classifier: ClassifierConfig, *, channels: int, size: int, device: torch.device | str = "cpu"
    ) -> FrozenFeatures:
        """The backbone of `extractor_config(classifier, size)`.

        Raises:
            ConfigError: a backbone that cannot take these images or gives no stages.
            WeightsError: its weights cannot be had.
        """
        config = extractor_config(classifier, size)
        model = _backbone(config, channels, size, str(device))
        return cls(config, channels, size, model, scale_of(torch.empty(0, model.width)))

    def fit(self, images: ImageSet) -> FrozenFeatures:
        """The same on the scale of these images."""
        return replace(self, scale=scale_of(self.raw(images)))

    @property
    def title(self) -> str:
        """The backbone, and what is taken of it."""
        shown = self.config.shown_size(self.size)
        return (
            f"{self.config.backbone} with its pretrained weights, shown images of {shown} px: its last layer, and mean "
            "and deviation of every channel of each stage, standardised by the real training images"
        )

    def __call__(self, images: ImageSet | Tensor) -> Tensor:
        """Standardised features, float32 (n, d) on the CPU, of an image set or uint8 (n, channels, size, size)."""
        return self.scale.standardise(self.raw(images))

    def raw(self, images: ImageSet | Tensor, after_batch: Callable[[], None] = lambda: None) -> Tensor:
        """Features as the backbone gives them, float32 (n, d) on the CPU; `after_batch` is called after each batch that
        was computed, and may raise."""
        pixels = images.images if isinstance(images, ImageSet) else images
        return features_of(self.model, pixels, after_batch=after_batch).cpu()

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 in hex of the backbone's weights."""
        tensors = self.model.backbone.state_dict()
        parts = [digests.of_bytes(tensors[name].detach().cpu().contiguous().numpy().tobytes()) for name in tensors]
        return digests.of_value(parts)


def features_for_splits(images: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """By which related images are found before they are divided: those of the packaged backbone, whatever the run's
    classifier is, since the division must not hang on it.

    Args:
        images: uint8 (n, channels, size, size).
        device: that computes.

    Returns:
        float32 (n, d) on the CPU.

    Raises:
        WeightsError: its weights cannot be had.
    """
    space = FrozenFeatures.load(ClassifierConfig(), channels=images.shape[1], size=images.shape[2], device=device)
    return space.raw(images)


def scale_of(points: Tensor) -> Standardised:
    """The scale on which these points, float (n, d), have mean 0 and deviation 1 in each feature; without points the
    scale that changes nothing."""
    scale = Standardised(torch.nn.Identity(), points.shape[1])
    if len(points):
        scale.fit(points)
    return scale


def subset(n: int, size: int, stream: torch.Generator) -> Tensor:
    """`size` different positions below `n` in random order, int64; all of them where `size` is as large."""
    return torch.randperm(n, generator=stream)[:size]
