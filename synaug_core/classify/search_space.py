"""What a search varies: its parameters, their ranges, and what a trial changes in a configuration."""

from __future__ import annotations

from pydantic import ValidationError

from synaug_core.config import ClassifierConfig, Range, TuningConfig
from synaug_core.errors import ConfigError
from synaug_core.frozen import Frozen

__all__ = ["BestTrial", "TrialRow", "TrialSpec", "Tuned", "as_configured", "checked_ranges"]

_PARAMETERS = ("learning_rate", "weight_decay", "dropout", "augmentation_strength", "synthetic_share")


class Tuned(Frozen):
    """Values found by a search; None leaves a value as configured."""

    learning_rate: float | None = None
    weight_decay: float | None = None
    dropout: float | None = None
    augmentation_strength: float | None = None
    synthetic_share: float | None = None
    """Share of the planned synthetic images to use: the first ones of each class. Not the classifier's affair."""

    def apply(self, config: ClassifierConfig) -> ClassifierConfig:
        """The configuration with these values."""
        plain = ("learning_rate", "weight_decay", "dropout")
        update: dict[str, object] = {k: v for k in plain if (v := getattr(self, k)) is not None}
        if self.augmentation_strength is not None:
            update["augmentation"] = {**config.augmentation.model_dump(), "strength": self.augmentation_strength}
        return ClassifierConfig.model_validate({**config.model_dump(), **update})


class TrialSpec(Frozen):
    """One trial to make."""

    number: int
    """0, 1, ... within its study."""
    trial_id: int
    """Of the storage."""
    parameters: Tuned
    params: dict[str, float]
    """The same values as the storage has them."""


class BestTrial(Frozen):
    """The completed trial with the highest value, the first of equals."""

    number: int
    value: float
    parameters: Tuned


class TrialRow(Frozen):
    """A trial as it stands."""

    number: int
    round: int
    """Trials of one round were suggested without knowing each other's values."""
    state: str
    """`complete`, `pruned` or `running`."""
    value: float | None
    parameters: Tuned
    curve: dict[int, float]
    """Running score by position."""


def as_configured(config: ClassifierConfig) -> Tuned:
    """The configured values: a good first trial."""
    return Tuned(
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        dropout=config.dropout,
        augmentation_strength=config.augmentation.strength,
        synthetic_share=1.0,
    )


def checked_ranges(config: TuningConfig) -> dict[str, Range]:
    """The searched parameters with their ranges, in a fixed order.

    Raises:
        ConfigError: an end of a range that the parameter cannot take.
    """
    ranges: dict[str, Range] = {k: r for k in _PARAMETERS if (r := getattr(config, k)) is not None}
    for name, limits in ranges.items():
        for end, value in (("low", limits.low), ("high", limits.high)):
            if not _is_possible(name, value):
                raise ConfigError(f"tuning.{name}.{end}: {value:g} is not a possible {name.replace('_', ' ')}")
    return ranges


def _is_possible(name: str, value: float) -> bool:
    if name == "synthetic_share":
        return 0 <= value <= 1
    try:
        Tuned(**{name: value}).apply(ClassifierConfig())
    except ValidationError:
        return False
    return True
