"""What a strategy gets and gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from synaug_core.config import SynthesisConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.errors import ConfigError
from synaug_core.generators.base import Generator, LatentGenerator

if TYPE_CHECKING:
    from synaug_core.classify.trained import TrainedClassifier

__all__ = ["Made", "Source", "Strategy"]


@dataclass(frozen=True)
class Source:
    """What images of one class can be made from.

    Attributes:
        class_name: the class.
        images: its training images, one at least.
        generator: fitted on the class; None for strategies that need none.
        target: trained classifiers whose uncertainty is sought, of different seeds; empty for most strategies.
    """

    class_name: str
    images: ImageSet
    generator: Generator | None = None
    target: tuple[TrainedClassifier, ...] = ()

    def sampler(self) -> Generator:
        """The generator.

        Raises:
            ConfigError: there is none.
        """
        if self.generator is None:
            raise ConfigError("synthesis.strategy: this strategy needs a generator")
        return self.generator

    def latent(self, strategy: str) -> LatentGenerator:
        """The generator, known to have a latent space.

        Raises:
            ConfigError: it has none.
        """
        if not isinstance(self.generator, LatentGenerator):
            raise ConfigError(f"synthesis.strategy: {strategy} needs a generator with a latent space; use prior")
        return self.generator


@dataclass(frozen=True)
class Made:
    """New images of one class and where each comes from.

    Attributes:
        images: uint8 (n, channels, size, size) on the CPU.
        provenance: n JSON-able dicts; `parents` lists ids of training images.
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

    def __call__(self, source: Source, n: int, config: SynthesisConfig, *, seed: int) -> Made:
        """See the class."""
        ...
