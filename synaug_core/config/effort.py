"""How much a run does: what `effort` sets where nothing is said, and what that takes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from synaug_core.config.arms import DEFAULT_ARMS, STANDARD_ARMS
from synaug_core.config.selection import CANDIDATES

if TYPE_CHECKING:
    from synaug_core.config.root import Config

__all__ = ["Effort", "describe_effort", "note_effort", "with_effort"]

Effort = Literal["low", "medium", "high"]
_SETTINGS: dict[Effort, dict[str, Any]] = {
    "low": {
        "arms": list(STANDARD_ARMS),
        "selection": {"candidates": ["frozen_quick"]},
        "tuning": {"trials": 0},
        "generator": {"kind": "autoencoder", "steps": 400},
        "quality": {"usefulness": False},
        "robustness": {"enabled": False},
    },
    "medium": {},
    "high": {
        "arms": [*DEFAULT_ARMS, "strong", "ensemble"],
        "repetitions": 12,
        "selection": {"parts": 5},
        "tuning": {"trials": 24},
    },
}
"""Keys that differ from the defaults."""
_TIMES: dict[Effort, str] = {
    "low": "a few minutes",
    "medium": "a quarter of an hour to half an hour",
    "high": "several hours",
}
"""On two CPU cores, for some hundred images; cross-validation and draws multiply it by their number."""


def with_effort(values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's values with those of its `effort` for keys that it leaves open."""
    settings = _SETTINGS.get(values.get("effort", "medium"), {})
    merged = dict(values)
    for key, value in settings.items():
        if not isinstance(value, dict):
            merged.setdefault(key, value)
        elif isinstance(section := merged.get(key, {}), Mapping):
            merged[key] = {**value, **section}
    return merged


def describe_effort(config: "Config", duration: str | None = None) -> str:
    """What a run will do, for the user before it starts; and how long that takes: `duration` where it was estimated,
    else a rule of thumb, where no network is named that may be faster or slower."""
    split = config.data.split
    divisions = {"fold": (split.folds or 1) * config.repetitions, "draw": config.repetitions}
    trainings = len(config.arms) * divisions.get(split.division_word or "", config.repetitions)
    search = f", a search of {config.tuning.trials} trials" if config.tuning.trials else ", no search"
    candidates = config.selection.candidates
    choice = "" if config.classifier.is_named else "the choice of the classifier, "
    if not config.classifier.is_named and candidates is not None and len(candidates) == 1:
        choice = f"the classifier {CANDIDATES[candidates[0]].title}, "
    plan = f"effort {config.effort}: {choice}{len(config.arms)} arms with {trainings} trainings in all{search}."
    if duration is not None:
        return f"{plan} {duration[0].upper()}{duration[1:]}"
    if config.classifier.is_named:
        return plan
    return (
        f"{plan} For some hundred images on two CPU cores this takes {_TIMES[config.effort]}; more images, and more "
        "divisions of them, take longer."
    )


def note_effort(effort: Effort) -> tuple[str, ...]:
    """What a run of low effort could not see."""
    if effort != "low":
        return ()
    return (
        "effort low: no classifier but the frozen one was tried, one autoencoder learnt all classes in place of a "
        "model for each, nothing was searched and nothing attacked; what is no gain here may be one with a classifier "
        "that fits the images better, or with other images (--effort medium)",
    )
