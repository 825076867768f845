"""A classifier from its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from synaug_core import seeds
from synaug_core.classify.model import Classifier
from synaug_core.config import ClassifierConfig
from synaug_core.errors import ConfigError

__all__ = ["build"]


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
    """An untrained (or pretrained) classifier on the CPU, in channels-last layout.

    The same configuration and seed give the same weights, whatever `mean` and `std` are.

    Args:
        config: backbone, stem, width, dropout, pretrained weights.
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
    with seeds.seeded_init(seed):
        if config.backbone == "small_cnn":
            module, width = _small(config, channels, size)
        else:
            from synaug_core.classify import backbones

            found = backbones.backbone(
                config.backbone,
                channels=channels,
                size=size,
                stem=config.stem,
                initialisation=config.initialisation,
                pretrained=config.pretrained,
                weights_file=Path(config.weights_file) if config.weights_file else None,
                fetch=fetch,
            )
            module, width = found.module, found.width
            mean, std = found.mean or mean, found.std or std
        model = Classifier(module, width, len(classes), mean=mean, std=std, dropout=config.dropout)
    if config.batch_size == 1 and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        raise ConfigError(f"classifier.batch_size: {config.backbone} normalises over the batch and needs at least 2")
    return model.to(memory_format=torch.channels_last)


def _small(config: ClassifierConfig, channels: int, size: int) -> tuple[nn.Module, int]:
    from synaug_core.nets.small_cnn import SmallCNN

    if config.pretrained:
        raise ConfigError("classifier.pretrained: small_cnn has no pretrained weights; name a timm backbone")
    if size < 16:
        raise ConfigError(f"classifier.backbone: small_cnn needs images of at least 16 px, these have {size}")
    module = SmallCNN(channels, size, config.width)
    return module, module.features
