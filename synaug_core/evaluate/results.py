"""What a comparison says: its arms, its contrasts and its verdict, as stored."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from pydantic import Field

from synaug_core.config import PrimaryConfig
from synaug_core.evaluate.contrast import Contrast
from synaug_core.evaluate.intervals import Finite, Interval
from synaug_core.evaluate.mcnemar import Discordance
from synaug_core.evaluate.planning import Power
from synaug_core.evaluate.rarity import by_rarity
from synaug_core.evaluate.reliability import ConfidenceBins, Reliability
from synaug_core.evaluate.sentence import design_text
from synaug_core.frozen import Frozen
from synaug_core.names import slugs

__all__ = ["ArmResult", "Comparison", "Verdict"]

Verdict = Literal["gain", "no gain shown"]


class ArmResult(Frozen):
    """One arm on the test images."""

    metrics: dict[str, Interval]
    """Mean over repetitions (in cross-validation: over every fold of each) with its interval; names as in `scores`."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows are true classes; summed over repetitions."""
    calibration: ConfidenceBins
    validation: Finite
    """Mean balanced accuracy on the validation images: what arms are chosen by."""
    is_control: bool
    """True for an arm that a gain has to beat."""
    repetitions: int
    """Trainings; in cross-validation folds times repetitions."""


class Comparison(Frozen):
    """All arms on the same test images. Everything is computed from predictions."""

    classes: tuple[str, ...]
    arms: dict[str, ArmResult]
    train_counts: dict[str, int]
    """Real training images of each class."""
    test_counts: dict[str, int]
    """Test images of each class; in cross-validation each image counts once."""
    rarest_class: str
    """First of `by_rarity`, among the classes that have test images."""
    confidence: float
    best_arm: str
    """Highest validation score of all arms; the test images have no part in it (in cross-validation, each image
    validates in some folds and tests in another). So for the next two."""
    best_control: str | None
    best_synthetic: str | None
    contrasts: tuple[Contrast, ...]
    """The declared synthetic arm, or else the best, against the best control on the primary endpoints; the verdict
    rests on the first alone."""
    others: tuple[Contrast, ...]
    """Every synthetic arm against the best control on the first endpoint, Holm-adjusted: for information."""
    verdict: Verdict
    sentence: str
    """What it means."""
    folds: int | None = None
    """Folds of the cross-validation; None: one test part, the same for all repetitions."""
    primary: PrimaryConfig = PrimaryConfig()
    """The contrast that was declared before the run."""
    mcnemar: tuple[Discordance, ...] = ()
    """The models of the first contrast pair by pair, where they share their test images: for information."""
    power: Power | None = None
    """What the design of the first contrast can show: for information."""
    reliability: dict[str, Reliability] = Field(default_factory=dict)
    """Arm -> how far its probabilities can be trusted, and what a threshold chosen on validation images gives."""

    @property
    def design(self) -> str:
        """The design in words: `6 repetitions`, `5-fold cross-validation repeated 2 times`."""
        return design_text(max(result.repetitions for result in self.arms.values()), self.folds)

    def slug(self, class_name: str) -> str:
        """The class's name inside metric names."""
        return self._slugs[class_name]

    @cached_property
    def _slugs(self) -> dict[str, str]:
        return slugs(self.classes)

    @property
    def by_rarity(self) -> tuple[str, ...]:
        """Classes from the fewest training images to the most; equals by their test images, then in class order."""
        return by_rarity(self.classes, self.train_counts, self.test_counts)
