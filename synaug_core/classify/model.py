"""A classifier: its network, the mean and spread it normalises by, and how it is built from its configuration."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from synaug_core import errors, seeds
from synaug_core.config import ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.nets.shown import Resize, Standardised

__all__ = [
    "Classifier",
    "Dropout",
    "Ensemble",
    "as_float",
    "batches",
    "build",
    "channel_statistics",
    "evaluating",
    "shrink_once",
]


_CHUNK = 1024


def as_float(images: Tensor) -> Tensor:
    """uint8 images in 0 to 255 to float32 in [0, 1]; float images unchanged."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set the model to evaluation mode within the block; afterwards every part is in its former mode."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


class Dropout(nn.Module):
    """Dropout whose masks come from the caller's random stream.

    It acts where a stream is given, in training and in evaluation (posterior samples), and nowhere else.

    Raises:
        ValueError: training without a stream; it would silently train another network.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, stream: torch.Generator | None = None) -> Tensor:
        """Float (n, d) to the same shape, kept values scaled by 1 / (1 - rate)."""
        if self.rate == 0:
            return x
        if stream is None:
            if self.training:
                raise ValueError("dropout needs a random stream in training")
            return x
        keep = torch.empty(x.shape, dtype=x.dtype, device=x.device).bernoulli_(1 - self.rate, generator=stream)
        return x * keep / (1 - self.rate)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"rate={self.rate}"


class Classifier(nn.Module):
    """A backbone, dropout and a linear head.

    Args:
        backbone: normalised float images (n, c, h, w) to features (n, d).
        width: d.
        classes: number of classes.
        mean, std: per channel, of images in [0, 1]; one value each for grey images, or three, to which grey
            images are repeated.
        dropout: share of features dropped before the head.
        resize: images in [0, 1] to those that the backbone is shown; None: as they are.
        stages: names of the backbone's parameters, stage by stage from the first layers on, where these learn at rates
            of their own; empty where all learn alike.
        settled_stages: how many of these, the first ones, keep the statistics of their batch normalisation.

    Attributes:
        width: of its features.
        parameter_stages: `stages` with the names as within this module.
        settled: names of the layers of batch normalisation that are in evaluation mode in training too.
        prior_shift: float32 (classes,), taken from the logits in evaluation mode: the prior correction (see
            `classify.prior`). 0: none.
    """

    mean: Tensor
    std: Tensor
    prior_shift: Tensor
    parameter_stages: tuple[tuple[str, ...], ...] = ()
    settled: frozenset[str] = frozenset()

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float,
        resize: Resize | None = None,
        stages: Sequence[Sequence[str]] = (),
        settled_stages: int = 0,
    ) -> None:
        super().__init__()
        self.width = width
        self.resize = resize
        self.backbone = backbone
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(width, classes)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("prior_shift", torch.zeros(classes))
        self.parameter_stages = tuple(tuple(f"backbone.{name}" for name in stage) for stage in stages)
        layers = {name.rpartition(".")[0] for stage in self.parameter_stages[:settled_stages] for name in stage}
        self.settled = frozenset(name for name in layers if isinstance(self.get_submodule(name), _BatchNorm))

    def train(self, mode: bool = True) -> "Classifier":
        """Set the mode, as every module does, of all but the settled layers."""
        super().train(mode)
        for name in self.settled:
            self.get_submodule(name).eval()
        return self

    def forward(self, images: Tensor, stream: torch.Generator | None = None) -> Tensor:
        """Images, uint8 in 0 to 255 or float in [0, 1], shape (n, c, h, w), to float32 logits (n, classes)."""
        return self.head(self.features(images), stream)

    def features(self, images: Tensor) -> Tensor:
        """Images as in `forward` to pooled float32 features (n, d)."""
        features: Tensor = self.backbone(self.normalised(images))
        return features.float()

    def normalised(self, images: Tensor) -> Tensor:
        """Images as in `forward` to what the backbone is shown, float (n, channels, h, w) in channels-last layout."""
        x = as_float(images)
        if self.resize is not None:
            x = self.resize(x)
        x = (x - self.mean) / self.std  # one channel becomes three where mean has three
        return x.contiguous(memory_format=torch.channels_last)

    def head(self, features: Tensor, stream: torch.Generator | None = None) -> Tensor:
        """Features (n, d) to float32 logits (n, classes): many dropout samples cost one pass of the backbone."""
        return self.logits(self.dropout(features, stream))

    def logits(self, features: Tensor) -> Tensor:
        """Features (..., d) after dropout to float32 logits (..., classes).

        The prior correction acts in evaluation mode alone: a training that saw it would undo it.
        """
        logits: Tensor = self.linear(features).float()
        return logits if self.training else logits - self.prior_shift

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the modules whose maps the head reads beside the last layer's features, from the first to the last:
        the stages of a frozen backbone. Empty for others."""
        if not isinstance(self.backbone, Standardised):
            return ()
        return tuple(f"backbone.features.{name}" for name in getattr(self.backbone.features, "stages", ()))

    @property
    def networks(self) -> "tuple[Classifier, ...]":
        """The networks whose probabilities are averaged: this one."""
        return (self,)


def shrink_once(model: Classifier, images: Tensor) -> Tensor:
    """Images as small as the network is shown them, so that no batch of a training has to shrink its own.

    Args:
        model: where the images are.
        images: uint8 or float in [0, 1], (n, c, h, w).

    Returns:
        Of their dtype; the images themselves where the network is shown them as they are, or enlarged.
    """
    resize = model.resize
    if resize is None or resize.shown >= images.shape[-1]:
        return images
    parts = [resize(as_float(part)) for part in torch.split(images, _CHUNK)]
    shrunk = torch.cat(parts)
    return shrunk.mul_(255).round_().to(torch.uint8) if images.dtype == torch.uint8 else shrunk


class Ensemble(Classifier):
    """Classifiers of the same images, as one: the mean of their probabilities (Lakshminarayanan et al., "Deep
    Ensembles", arXiv 1612.01474). Its features are theirs, side by side, and each corrects its own prior.

    Args:
        members: classifiers of the same configuration, one or more.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        nn.Module.__init__(self)
        first = members[0]
        self.width = sum(member.width for member in members)
        self.members = nn.ModuleList(members)
        self.dropout = Dropout(first.dropout.rate)
        for name in ("mean", "std"):
            self.register_buffer(name, getattr(first, name).clone())
        self.register_buffer("prior_shift", torch.zeros_like(first.prior_shift))

    def features(self, images: Tensor) -> Tensor:
        """Images as in `forward` to the members' features, float32 (n, members x d)."""
        return torch.cat([member.features(images) for member in self.networks], dim=1)

    def logits(self, features: Tensor) -> Tensor:
        """Features (..., members x d) after dropout to the logarithm of the mean probabilities, (..., classes)."""
        parts = features.chunk(len(self.members), dim=-1)
        log_probabilities = [m.logits(part).log_softmax(-1) for m, part in zip(self.networks, parts, strict=True)]
        return torch.stack(log_probabilities).logsumexp(0) - math.log(len(self.members))

    @property
    def networks(self) -> tuple[Classifier, ...]:
        """The members."""
        return tuple(member for member in self.members if isinstance(member, Classifier))


_AT_ONCE = 256 * 64**2
"""Pixels of what a network is shown in one batch of an evaluation: 256 images of 64 px, or 20 of 224."""


def batches(model: Classifier, images: Tensor) -> tuple[Tensor, ...]:
    """Images (n, c, h, w) in parts that need about as much memory, however large the network is shown them: at most
    256 images in each."""
    if not len(images):
        return ()
    resize = model.networks[0].resize
    side = images.shape[-1] if resize is None else resize.shown
    return torch.split(images, max(1, min(256, _AT_ONCE // side**2)))


_SMALLEST_STD = 1e-2


def channel_statistics(images: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over the real training images, for pixels in [0, 1].

    Synthetic images are left out, so that all arms normalise alike; a set
    without real images uses all. The counts of the 256 values are exact, so the order of the images is no matter.

    Returns:
        Two tuples of `channels` floats; the standard deviation is at least 0.01.
    """
    is_real = ~images.is_synthetic()
    pixels = images.images[is_real] if bool(is_real.any()) else images.images
    values = torch.arange(256, dtype=torch.float64) / 255
    means, spreads = [], []
    for channel in range(images.channels):
        counts = torch.zeros(256, dtype=torch.int64)
        for part in torch.split(pixels[:, channel], _CHUNK):
            counts += torch.bincount(part.flatten().int(), minlength=256)
        share = counts.double() / counts.sum()
        mean = (share * values).sum()
        means.append(float(mean))
        spreads.append(max(float((share * (values - mean) ** 2).sum().sqrt()), _SMALLEST_STD))
    return tuple(means), tuple(spreads)


def build(
    config: ClassifierConfig,
    *,
    channels: int,
    size: int,
    classes: tuple[str, ...],
    seed: int,
    mean: Sequence[float],
    std: Sequence[float],
    fetch: bool = True,
) -> Classifier:
    """Build an untrained (or pretrained) classifier on the CPU, in channels-last layout.

    The same configuration and seed give the same weights, whatever `mean` and `std` are.

    Args:
        config: backbone, stem, width, dropout, pretrained weights, way of training, size that the network is shown.
        channels: of the images.
        size: of the images, pixels a side.
        classes: class names.
        seed: of the initial weights.
        mean: per channel, of the training images in [0, 1]; a pretrained backbone brings its own.
        std: likewise.
        fetch: False leaves pretrained weights out, for a caller that has the trained ones.

    Raises:
        ConfigError: an unknown backbone, one that cannot take these images, or a batch too small for it.
        WeightsError: pretrained weights that cannot be had or do not fit.
    """
    shown = config.shown_size(size)
    stages: tuple[tuple[str, ...], ...] = ()
    with seeds.seeded_init(seed):
        if config.backbone == "small_cnn":
            module, width = _small(config, channels, shown)
        else:
            from synaug_core.classify import backbones

            extractor = backbones.backbone(
                config.backbone,
                channels=channels,
                size=shown,
                stem=config.stem,
                initialisation=config.initialisation,
                weights=config.pretrained,
                weights_file=Path(config.weights_file) if config.weights_file else None,
                fetch=fetch,
            )
            if config.training == "frozen":
                extractor = backbones.stage_features(extractor, config.backbone, shown)
            module, width = extractor.module, extractor.width
            if config.training == "fine_tuned":
                stages = backbones.names_by_depth(module)
            mean, std = extractor.mean or mean, extractor.std or std
        if config.training == "frozen":
            module = Standardised(module, width)
        resize = Resize(size, shown) if shown != size else None
        model = Classifier(
            module,
            width,
            len(classes),
            mean=mean,
            std=std,
            dropout=config.dropout,
            resize=resize,
            stages=stages,
            settled_stages=round(config.frozen_statistics * len(stages)),
        )
    has_steps = config.training != "frozen"
    unsettled = (m for name, m in model.named_modules() if isinstance(m, _BatchNorm) and name not in model.settled)
    if has_steps and config.batch_size == 1 and any(unsettled):
        raise errors.ConfigError(
            f"classifier.batch_size: {config.backbone} normalises over the batch and needs at least 2"
        )
    return model.to(memory_format=torch.channels_last)


def _small(config: ClassifierConfig, channels: int, size: int) -> tuple[nn.Module, int]:
    from synaug_core.nets.small_cnn import SmallCNN

    if (obstacle := config.weights_obstacle) is not None:
        raise errors.ConfigError(obstacle)
    if size < 16:
        raise errors.ConfigError(f"classifier.backbone: small_cnn needs images of at least 16 px, these have {size}")
    module = SmallCNN(channels, size, config.width)
    return module, module.features
