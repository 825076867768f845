"""How classes are learnt: the generative models."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from synaug_core.config.base import Count, Section
from synaug_core.config.classifier import AugmentationConfig

__all__ = [
    "AutoencoderConfig",
    "DiffusionConfig",
    "GANConfig",
    "GeneratorConfig",
    "Mirroring",
    "Sampler",
    "VAEConfig",
    "sectioned",
]

Sampler = Literal["ddim", "dpm"]
Mirroring = Literal["auto", "none", "mirror", "both", "all"]
_QUARTER = 90.0
_LARGEST_LEARNT = 64
"""Pixels a side up to which images are learnt as they are, where `image_size` does not say."""
Decay = Annotated[float, Field(ge=0, lt=1)]


class VAEConfig(Section):
    """Kind `vae`: a model for each class, whose objective is the evidence lower bound (paper A: beta = 1)."""

    beta: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the KL term; both terms are sums over pixels and latent units, means over the batch."""
    variance: Annotated[float, Field(gt=0)] | Literal["learned"] = "learned"
    """Variance of the Gaussian likelihood in [0, 1] pixel units; `learned`: the mean squared error on the
    held-out images."""
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the steps over which beta rises from 0."""
    execution: Literal["auto", "loop", "stack"] = "auto"
    """The classes' models one after the other, or as one stacked model; auto: stacked on a GPU."""


class GANConfig(Section):
    """Kind `gan`: class-conditional, hinge loss, differentiable augmentation of what the discriminator sees."""

    augmentation: tuple[Literal["color", "translation", "cutout", "mirror"], ...] = ("color", "translation", "cutout")
    """What is done, differentiably, to real and made images before the discriminator sees them."""
    r1: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the gradient penalty on real images; 0: none."""
    r1_every: Count = 8
    """Steps between two penalties (lazy regularisation; the weight is multiplied by this)."""
    ema: Decay = 0.995
    """Decay of the generator's averaged weights, which make the images."""
    discriminator_rate: Annotated[float, Field(gt=0)] = 4.0
    """Learning rate of the discriminator over the generator's."""


class DiffusionConfig(Section):
    """Kind `diffusion`: class-conditional denoising diffusion with few deterministic sampling steps."""

    noise_levels: Annotated[int, Field(ge=10)] = 1000
    """Levels of noise in training."""
    sampling_steps: Annotated[int, Field(ge=1, le=1000)] = 20
    """Denoising steps of one image."""
    sampler: Sampler = "dpm"
    """Both are deterministic: DDIM (eta = 0), or DPM-Solver++ of second order."""
    guidance: Annotated[float, Field(ge=0)] = 1.5
    """Classifier-free guidance: 1 follows the class as learnt, more exaggerates it, 0 ignores it."""
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of training images whose class is hidden, so that guidance has something to differ from."""
    ema: Decay = 0.995
    """Decay of the averaged weights, which make the images."""


class AutoencoderConfig(Section):
    """Kind `autoencoder`: one for all classes, with a spatial latent, as targeted synthesis starts from."""

    downsampling: Literal[2, 4, 8] = 4
    """Side of an image over the side of its latent map."""
    channels: Count = 4
    """Channels of the latent map."""
    kl: Annotated[float, Field(ge=0)] = 1e-3
    """Weight of the KL term, which keeps the latent near N(0, I); far below a VAE's."""


class GeneratorConfig(Section):
    """What all kinds of generative models share, and a section for each kind. `vae`: one model per class. `gan`,
    `diffusion`, `autoencoder`: one for all."""

    kind: str = "vae"
    """Name in the registry of generators."""
    image_size: Annotated[int, Field(ge=16, le=512)] | None = None
    """Pixels a side of the images that a model learns; default: as they are stored (`data.image_size`), up to 64. They
    are never larger than stored. Of smaller ones a model makes smaller ones, which are lifted to the stored size by a
    real image's detail (`synthesis.detail`), or enlarged."""
    steps: Count = 1000
    """Most optimiser steps for each model."""
    batch_size: Count = 32
    """Training images in one step of a model."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    """Step size of the optimiser (Adam); each kind has a default of its own."""
    width: Count = 16
    """Channels of the first convolution; they double with each halving, up to four times."""
    latent_dim: Count = 64
    """Length of the latent vector of a kind that has one of free length."""
    validation_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Share of a class's training images held out for the early stop. Where that is fewer than 5, a model of a class
    learns from all images, beside three that leave out a third each and say together when it is best; below 6
    images nothing is held out."""
    patience: Count = 6
    """Evaluations without improvement, after the warm-up, that end a class's training; weights from before
    the end of the warm-up are never kept."""
    evaluate_every: Count = 25
    """Steps between two evaluations on the held-out images."""
    clip: Annotated[float, Field(gt=0)] = 100.0
    """Largest gradient norm of one model."""
    augment: Mirroring = "auto"
    """Also shows each training image mirrored left to right (`mirror`), upside down too (`both`), or in quarter turns
    as well (`all`, the eight symmetries of a square); `none` where that changes the class. `auto`: as
    `classifier.augmentation` does it, `all` where it mirrors both ways and turns by 90 degrees or more; `mirror` where
    there is no classifier."""
    group_size: Count | None = None
    """Classes fitted in one call; default: all on a GPU, one on a CPU, so that its cores share them. Kinds with one
    model for all classes always fit them together."""
    vae: VAEConfig = VAEConfig()
    gan: GANConfig = GANConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    options: dict[str, Any] = Field(default_factory=dict)
    """Choices of a kind that is registered from outside."""

    def learnt_size(self, stored: int) -> int:
        """Pixels a side of the images that a model learns, where `stored` is that of the stored ones."""
        return min(self.image_size or _LARGEST_LEARNT, stored)

    def mirroring_as(self, augmentation: AugmentationConfig) -> "GeneratorConfig":
        """The configuration whose `augment` is no longer `auto`: what mirroring and turning leaves a class to the
        classifier, it leaves it to the generator."""
        if self.augment != "auto":
            return self
        turns = min(augmentation.rotation * augmentation.strength, 180) >= _QUARTER
        augments = {"none": "none", "horizontal": "mirror", "both": "all" if turns else "both"}
        return self.model_copy(update={"augment": augments[augmentation.mirror]})

    @model_validator(mode="before")
    @classmethod
    def _what_suits_the_kind(cls, values: Any) -> Any:
        """Fields that are not set take the defaults of the kind."""
        if not isinstance(values, dict):
            return values
        return _DEFAULTS.get(str(values.get("kind", "vae")), {}) | sectioned(values)


def sectioned(values: dict[str, Any]) -> dict[str, Any]:
    """A generator's values with the keys that stood beside the common ones in version 0.1.0 in the section `vae`.

    Where both places hold a key, the old one stays and is refused as unknown.
    """
    section = values.get("vae", {})
    if not isinstance(section, dict):
        return values
    vae_values = {key: values[key] for key in VAEConfig.model_fields if key in values and key not in section}
    if not vae_values:
        return values
    return {key: value for key, value in values.items() if key not in vae_values} | {"vae": section | vae_values}


_DEFAULTS: dict[str, dict[str, Any]] = {
    "gan": {"steps": 3000, "learning_rate": 1e-4, "width": 32, "evaluate_every": 250},
    "diffusion": {"steps": 3000, "learning_rate": 5e-4, "width": 16, "evaluate_every": 250},
    "autoencoder": {"steps": 2000, "learning_rate": 1e-3, "width": 24, "evaluate_every": 50},
}
