"""How a class is learnt, and how its missing images are made."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synaug_core.config.base import Section

__all__ = ["GeneratorConfig", "SynthesisConfig"]

Count = Annotated[int, Field(ge=1)]


class GeneratorConfig(Section):
    """The generative models, one per class (paper A: one VAE per class, beta = 1)."""

    kind: str = "vae"
    """Name in the registry of generators."""
    steps: Count = 1000
    """Most optimiser steps for each class."""
    batch_size: Count = 32
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    width: Count = 16
    """Channels of the first convolution; they double with each halving, up to four times."""
    latent_dim: Count = 64
    beta: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the KL term; both terms are sums over pixels and latent units, means over the batch."""
    variance: Annotated[float, Field(gt=0)] | Literal["learned"] = "learned"
    """Variance of the Gaussian likelihood in [0, 1] pixel units; `learned`: the mean squared error on the
    held-out images."""
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the steps over which beta rises from 0."""
    validation_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Share of a class's training images held out for the early stop (none below 10 images)."""
    patience: Count = 6
    """Evaluations without improvement, after the warm-up, that end a class's training; weights from before
    the end of the warm-up are never kept."""
    evaluate_every: Count = 25
    """Steps between two evaluations on the held-out images."""
    clip: Annotated[float, Field(gt=0)] = 100.0
    """Largest gradient norm of one class's model."""
    augment: Literal["none", "mirror"] = "mirror"
    """`mirror` also shows each training image mirrored left to right; `none` where that changes the class."""
    group_size: Count | None = None
    """Classes fitted in one call; default: all on a GPU, few on a CPU, so that its cores share them."""
    execution: Literal["auto", "loop", "stack"] = "auto"
    """One after the other, or as one stacked model; auto: stacked on a GPU."""


class SynthesisConfig(Section):
    """Which images are made, and from what."""

    strategy: str = "interpolate"
    """Name in the registry of strategies."""
    sampling_strategy: (
        Literal["auto", "not majority", "not minority", "all", "minority"]
        | Annotated[float, Field(gt=0)]
        | dict[str, int]
    ) = "auto"
    """imbalanced-learn's vocabulary: which classes are filled up, to the largest class's count (auto, all, not
    majority, not minority, minority), a ratio of minority to majority (two classes), or counts wanted by class."""
    multiple: Annotated[float, Field(gt=0)] = 1.0
    """Makes this many times the images that the plan asks for."""
    pairing: Literal["random", "neighbours"] = "random"
    """The second end: any other image of the class, or one of its nearest in latent space."""
    neighbours: Count = 5
    ends: Literal["mean", "sample"] = "mean"
    """An end is its posterior's mean or a sample of it."""
    path: Literal["linear", "spherical"] = "linear"
    alpha: tuple[float, float] | tuple[float, ...] = (0.0, 1.0)
    """The interval of a, or the grid's values."""
    alpha_mode: Literal["uniform", "grid"] = "uniform"
    """a is drawn from the interval, or the grid's values are taken in turn."""

    @model_validator(mode="after")
    def _alpha_is_usable(self) -> "SynthesisConfig":
        if any(not 0 <= a <= 1 for a in self.alpha) or not self.alpha:
            raise ValueError("alpha: every value must lie in [0, 1]")
        if self.alpha_mode == "uniform" and (len(self.alpha) != 2 or self.alpha[0] > self.alpha[1]):
            raise ValueError("alpha: an interval is two values, the lower one first")
        return self
