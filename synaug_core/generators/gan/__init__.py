"""A class-conditional GAN for few images: hinge loss, differentiable augmentation, R1, averaged weights."""

from synaug_core.generators.gan.generator import ConditionalGAN

__all__ = ["ConditionalGAN"]
