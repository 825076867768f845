"""What a strategy gets, what it gives back, and the entry that says what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from synaug_core.config import SynthesisConfig
from synaug_core.config.synthesis import KeptDetail, decide_detail
from synaug_core.data.imageset import ImageSet
from synaug_core.errors import ConfigError
from synaug_core.generators.base import Generator, LatentGenerator

if TYPE_CHECKING:
    from synaug_core.classify.trained import TrainedClassifier

__all__ = ["Entry", "NewImages", "Source", "Strategy"]


@dataclass(frozen=True)
class Source:
    """What images of one class can be made from.

    Attributes:
        class_name: the class.
        images: its training images, one at least.
        generator: fitted on the class; None for strategies that need none.
        target: classifiers trained on real images, of different seeds; empty for most strategies.
        held_back: its real images that are neither trained on, nor validate or test; None for most strategies.
        masks: id of each image -> where its object is, float32 (h, w) in [0, 1]; None for most strategies.
        train: training images of all classes; None: there are none of others.
    """

    class_name: str
    images: ImageSet
    generator: Generator | None = None
    target: tuple[TrainedClassifier, ...] = ()
    held_back: ImageSet | None = None
    train: ImageSet | None = None
    masks: Mapping[str, Tensor] | None = None

    @cached_property
    def other_classes(self) -> ImageSet:
        """The training images of all other classes."""
        everything = self.images.take([]) if self.train is None else self.train
        return everything.take(everything.labels != everything.classes.index(self.class_name))

    def sampler(self) -> Generator:
        """Return the generator.

        Raises:
            ConfigError: there is none.
        """
        if self.generator is None:
            raise ConfigError("synthesis.strategy: this strategy needs a generator")
        return self.generator

    def latent(self, strategy: str) -> LatentGenerator:
        """Return the generator, which has a latent space.

        Raises:
            ConfigError: it has none.
        """
        if not isinstance(self.generator, LatentGenerator):
            raise ConfigError(f"synthesis.strategy: {strategy} needs a generator with a latent space; use prior")
        return self.generator

    def kept_detail(self, config: SynthesisConfig) -> KeptDetail:
        """What becomes of the detail that the generator loses of a parent: `config.detail`, decided.

        Raises:
            ConfigError: there is no generator.
        """
        return decide_detail(config.detail, enlarges=self.sampler().enlarges)


@dataclass(frozen=True)
class NewImages:
    """New images of one class and where each comes from.

    Attributes:
        images: uint8 (n, channels, size, size) on the CPU.
        provenance: n JSON-able dicts; `parents` lists ids of training images of the class, the one that an image is
            most like first; `donors` those of other classes from which it has something.
        measures: figures of the whole batch, such as uncertainties before and after.
    """

    images: Tensor
    provenance: list[dict[str, Any]]
    measures: dict[str, float] = field(default_factory=dict)


class Strategy(Protocol):
    """Makes `n` images of a class.

    The first m of n images are those that asking for m gives, so that any share of them can be used.

    Raises:
        ConfigError: the source lacks what the strategy needs.
    """

    def __call__(self, source: Source, n: int, config: SynthesisConfig, *, seed: int) -> NewImages:
        """See the class."""
        ...


@dataclass(frozen=True)
class Entry:
    """A strategy, what it needs, and what a report says of it.

    Attributes:
        make: the strategy.
        generator: a fitted generator of the class.
        latent: one that encodes and decodes.
        target: classifiers trained on real images, whose uncertainty it seeks.
        asks_classifier: whether it needs one for something else, with these choices.
        copies: its images are real ones, unchanged: no filter applies.
        held_back: they are real images left out of training; there may be fewer than planned.
        joint: one that has a single latent space for all classes.
        detail: each image has a parent whose detail it can keep, as `synthesis.detail` says.
        always_detail: `synthesis.detail: auto` keeps it also where the generator learns images of the stored size.
        repeats: a control that repeats training images on purpose: copies and near-duplicates pass the filters.
        description: what its images are, as part of a sentence; empty: the name alone is shown.
    """

    make: Strategy
    generator: bool = True
    latent: bool = False
    target: bool = False
    asks_classifier: Callable[[SynthesisConfig], bool] = lambda config: False
    copies: bool = False
    held_back: bool = False
    joint: bool = False
    detail: bool = False
    always_detail: bool = False
    repeats: bool = False
    description: str = ""

    def needs_classifier(self, config: SynthesisConfig) -> bool:
        """Whether a classifier has to be trained on the real images first."""
        return self.target or self.asks_classifier(config) or config.is_chosen_by_uncertainty

    def kept_detail(self, config: SynthesisConfig, *, enlarges: bool) -> KeptDetail:
        """What becomes of the detail that the generator loses: `none` where there is no parent that has it."""
        return decide_detail(config.detail, enlarges=enlarges or self.always_detail) if self.detail else "none"
