"""What a search varies: its parameters, their ranges, and what a trial changes in a configuration."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import Field, model_serializer, model_validator

from synaug_core import errors, frozen
from synaug_core.config import HYPERPARAMETERS, ArmConfig, ClassifierConfig, Range, Space, TuningConfig, Value

__all__ = [
    "BestTrial",
    "Rung",
    "TrialRow",
    "TrialSpec",
    "Tuned",
    "as_configured",
    "checked_spaces",
    "list_rungs",
    "note_unsearched",
    "searched_arms",
]


class Tuned(frozen.Frozen):
    """Hyper-parameters that a search chose, such as `Tuned(dropout=0.2)`; what it leaves out stays as configured."""

    values: dict[str, Value] = Field(default_factory=dict)
    """By name in `HYPERPARAMETERS`. `synthetic_share` is not the classifier's affair: it is the share of the planned
    synthetic images to use, the first ones of each class."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, values: Any) -> Any:
        """At rest the values stand under their names, null where a search left one out."""
        if not isinstance(values, dict) or values.keys() == {"values"}:
            return values
        if unknown := [name for name in values if name not in HYPERPARAMETERS]:
            raise ValueError(f"{unknown[0]!r} is no hyper-parameter that is searched")
        return {"values": {name: value for name, value in values.items() if value is not None}}

    @model_serializer
    def _under_their_names(self) -> dict[str, Value | None]:
        return {name: self.values.get(name) for name in HYPERPARAMETERS}

    @property
    def synthetic_share(self) -> float:
        """Share of the planned synthetic images to use, from 0 to 1."""
        return float(self.values.get("synthetic_share", 1.0))

    def apply(self, config: ClassifierConfig) -> ClassifierConfig:
        """The configuration with these values."""
        for name, value in self.values.items():
            config = HYPERPARAMETERS[name].set(config, value)
        return config


class Rung(NamedTuple):
    """A part of a search: the trials that take part in it, and the optimiser steps of each of their trainings."""

    trials: int
    steps: int


class TrialSpec(frozen.Frozen):
    """One trial to make, on one rung."""

    number: int
    """0, 1, ... within its study."""
    trial_id: int
    """Of the storage."""
    parameters: Tuned
    steps: int
    """Optimiser steps of each of its trainings."""


class BestTrial(frozen.Frozen):
    """The completed trial with the highest value, the first of equals."""

    number: int
    value: float
    parameters: Tuned


class TrialRow(frozen.Frozen):
    """A trial as it stands."""

    number: int
    round: int
    """Trials of one round were suggested without knowing each other's values."""
    state: str
    """`complete`, `pruned` or `running`."""
    value: float | None
    parameters: Tuned
    curve: dict[int, float]
    """Running score by position; with halving the score of each rung but the last by its steps."""


def as_configured(config: ClassifierConfig) -> Tuned:
    """The configured values: a good first trial."""
    return Tuned(values={name: entry.read(config) for name, entry in HYPERPARAMETERS.items()})


def checked_spaces(config: TuningConfig) -> dict[str, Space]:
    """The searched hyper-parameters with what they may be, in a fixed order.

    Raises:
        ConfigError: an end of a range, or a choice, that the hyper-parameter cannot take.
    """
    spaces = config.spaces()
    for name, space in spaces.items():
        limits = {".low": space.low, ".high": space.high} if isinstance(space, Range) else dict(enumerate(space))
        for place, value in limits.items():
            try:
                HYPERPARAMETERS[name].set(ClassifierConfig(), value)
            except ValueError as error:  # also pydantic's
                key = place if isinstance(place, str) else f"[{place}]"
                value_text = value if isinstance(value, str) else f"{value:g}"
                title = HYPERPARAMETERS[name].title
                raise errors.ConfigError(f"tuning.{name}{key}: {value_text} is not a possible {title}") from error
    return spaces


_REDUCTION = 4
"""One in so many trials reaches the last rung, but two at least; the first one's trainings have so many times fewer
steps."""


def list_rungs(config: TuningConfig) -> tuple[Rung, ...]:
    """The rungs of a search in their order, the last with all steps. Only halving has more than one.

    Successive halving (Jamieson and Talwalkar, arXiv 1502.07943) with two rungs. Each of its trainings starts anew and
    has a schedule of its own, so that the scores of a rung are those of finished trainings.

    Raises:
        ValueError: `config.steps` is not known.
    """
    if config.steps is None:
        raise ValueError("the steps of the trials are needed")
    full = Rung(config.trials, config.steps)
    if config.pruner != "halving" or config.trials < 2 or config.steps < 2:
        return (full,)
    first = full._replace(steps=-(-config.steps // _REDUCTION))
    return first, full._replace(trials=max(2, -(-config.trials // _REDUCTION)))


def searched_arms(config: TuningConfig, arms: Sequence[ArmConfig]) -> tuple[ArmConfig, ...]:
    """The arms of a run whose mean score a shared search maximises, in their order: at least one."""
    names = {arm.name for arm in arms}.intersection(config.arms)
    for role, substitutes in (
        ("control", [arm for arm in arms if not arm.has_synthetic_images]),
        ("combined", sorted((arm for arm in arms if _can_stand_for_combined(arm)), key=lambda arm: arm.is_control)),
    ):
        if role in config.arms and role not in names:
            names |= {arm.name for arm in substitutes[:1]}
    return tuple(arm for arm in arms if arm.name in names) or tuple(arms[:1])


def _can_stand_for_combined(arm: ArmConfig) -> bool:
    return arm.has_synthetic_images and not arm.is_positive_control


def note_unsearched(config: TuningConfig, arms: Sequence[ArmConfig]) -> tuple[str, ...]:
    """What the user should know where arms have synthetic images, and none of those that were searched has."""
    if config.trials == 0 or config.scope == "per_arm":
        return ()
    searched, untuned = searched_arms(config, arms), [arm.name for arm in arms if arm.has_synthetic_images]
    if not untuned or any(arm.has_synthetic_images for arm in searched):
        return ()
    subject = f"arms {', '.join(untuned[:-1])} and {untuned[-1]} use" if len(untuned) > 1 else f"arm {untuned[0]} uses"
    names = ", ".join(arm.name for arm in searched)
    return (
        f"{subject} hyper-parameters that were tuned for {names}: no arm with synthetic images was searched "
        "(tuning.arms)",
    )
