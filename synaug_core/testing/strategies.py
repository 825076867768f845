"""What every strategy has to do, as checks that any test suite can run.

    import pytest
    from synaug_core.testing.strategies import STRATEGY_CHECKS, StrategySubject

    @pytest.mark.parametrize("check", STRATEGY_CHECKS, ids=lambda check: check.__name__)
    def test_my_strategy(check):
        check(StrategySubject(ENTRY, train, "rare", generator))

A check raises AssertionError with what went wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from synaug_core.config import SynthesisConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.base import Generator
from synaug_core.synthesis.strategy import Entry, NewImages, Source

if TYPE_CHECKING:
    from synaug_core.classify.trained import TrainedClassifier

__all__ = ["STRATEGY_CHECKS", "StrategyCheck", "StrategySubject"]


@dataclass(frozen=True)
class StrategySubject:
    """What is checked.

    Attributes:
        entry: the strategy and what it needs.
        train: training images of several classes.
        class_name: the class of which images are made.
        generator: fitted, where the strategy needs one.
        target: trained classifiers, where it needs them.
        config: its choices.
        held_back: real images for a positive control.
    """

    entry: Entry
    train: ImageSet
    class_name: str
    generator: Generator | None = None
    target: "tuple[TrainedClassifier, ...]" = ()
    config: SynthesisConfig = field(default_factory=SynthesisConfig)
    held_back: ImageSet | None = None

    def make(self, n: int, seed: int = 11) -> NewImages:
        """`n` images of the class."""
        own = self.train.of_class(self.class_name)
        source = Source(self.class_name, own, self.generator, self.target, self.held_back, self.train)
        return self.entry.make(source, n, self.config, seed=seed)


StrategyCheck = Callable[[StrategySubject], None]


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise AssertionError(problem)


def check_new_images_are_uint8_of_the_same_shape(subject: StrategySubject) -> None:
    """As many as asked for, of the training images' shape, on the CPU, with a provenance each."""
    new = subject.make(5)
    shape, expected = tuple(new.images.shape), (5, *subject.train.images.shape[1:])
    _require(new.images.dtype == torch.uint8, f"uint8, not {new.images.dtype}")
    _require(shape == expected, f"shape {expected}, not {shape}")
    _require(new.images.device.type == "cpu", "the images have to be on the CPU")
    _require(len(new.provenance) == 5, f"a provenance of each image, not {len(new.provenance)}")
    _require(len(subject.make(0).images) == 0, "no image where none is asked for")


def check_parents_and_donors_are_training_images(subject: StrategySubject) -> None:
    """Parents are of the class itself, donors of others: judges and filters rely on it."""
    classes = dict(zip(subject.train.ids, (subject.train.classes[i] for i in subject.train.labels), strict=True))
    for origin in subject.make(20).provenance:
        _require({classes.get(name) for name in origin["parents"]} <= {subject.class_name}, "parents of another class")
        donor_classes = {classes.get(name) for name in origin.get("donors", ())}
        _require(not donor_classes & {subject.class_name, None}, "donors of the class itself, or unknown")


def check_the_first_images_are_the_same(subject: StrategySubject) -> None:
    """The first m of n images are those that asking for m gives, whatever block they are computed in."""
    few, many = subject.make(3), subject.make(40)
    _require(torch.equal(few.images, many.images[:3]), "the first images depend on how many are made")
    _require(few.provenance == many.provenance[:3], "their provenance does")


def check_randomness_comes_from_the_seed(subject: StrategySubject) -> None:
    """The same seed gives the same images, and torch's global stream is neither read nor moved."""
    torch.manual_seed(1)
    first, state = subject.make(6), torch.get_rng_state()
    torch.manual_seed(2)
    second = subject.make(6)
    _require(torch.equal(first.images, second.images), "the images depend on torch's global stream")
    torch.manual_seed(1)
    _require(torch.equal(torch.get_rng_state(), state), "torch's global stream was moved")


STRATEGY_CHECKS: tuple[StrategyCheck, ...] = (
    check_new_images_are_uint8_of_the_same_shape,
    check_parents_and_donors_are_training_images,
    check_the_first_images_are_the_same,
    check_randomness_comes_from_the_seed,
)
