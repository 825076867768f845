"""A sweep: one configuration, with some of its keys taking several values each."""

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from synaug_core.config import yaml_text
from synaug_core.config.arms import DEFAULT_ARMS, RECIPES
from synaug_core.config.base import Section
from synaug_core.config.load import checked, override, set_key, starting_values
from synaug_core.config.root import Config
from synaug_core.errors import ConfigError

__all__ = ["Cell", "SweepConfig", "cells", "load_sweep"]

_MOST = 500
_RECIPES, _OF_RECIPE = "recipes", "recipe."
_SHOWN = 40


class SweepConfig(Section):
    """What is varied: every combination becomes one retraining."""

    base: dict[str, Any] = Field(default_factory=dict)
    """A configuration as in a file, paths absolute."""
    grid: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Dotted key -> the name of each of its values -> the value. The key `recipes` stands for no field: each of its
    values is a list of arms that are compared beside those of the base, and the first of them is judged. Keys that
    begin with `recipe.` are those of these arms, as far as they have the section."""


@dataclass(frozen=True)
class Cell:
    """One combination: the name of each key's value, and the configuration that comes of it."""

    labels: dict[str, str]
    config: Config

    @property
    def label(self) -> str:
        """`key = value, ...` of this combination."""
        return _labels_text(self.labels)


def load_sweep(source: str, overrides: Sequence[str] = ()) -> SweepConfig:
    """The sweep of a configuration with a section `sweep`: dotted keys, each with a list of values, or with a
    mapping of names to values where the values themselves are long; `recipes`, a list of names from `RECIPES`, or a
    mapping of names to lists of arms.

    Args:
        source: as in `load`.
        overrides: `key=value` for the base, as in `load`; `sweep={...}` replaces the section `sweep`.

    Raises:
        ConfigError: no such section, a key both varied and overridden, or something in the section or in any
            combination does not fit.
    """
    base = starting_values(source)
    sweep_overrides = [text for text in overrides if _key(text) == "sweep"]
    section = base.pop("sweep", None)
    if sweep_overrides:
        section = yaml_text.parse(sweep_overrides[-1].partition("=")[2], "--set sweep")
    if not isinstance(section, dict) or not section:
        raise ConfigError(f"{source}: a sweep needs a section `sweep` with keys such as data.per_class: [5, 10, 20]")
    for text in overrides:
        if text in sweep_overrides:
            continue
        if clashing_keys := [key for key in section if f"{_key(text)}.".startswith(f"{key}.")]:
            raise ConfigError(f"--set {_key(text)}: {clashing_keys[0]} is varied by the sweep; change its values there")
        override(base, text)
    sweep = SweepConfig(base=base, grid={str(key): _values(str(key), values) for key, values in section.items()})
    cells(sweep)
    return sweep


def cells(sweep: SweepConfig) -> tuple[Cell, ...]:
    """Every combination, the last key varying fastest.

    Raises:
        ConfigError: an unknown key, a combination that does not fit, or more than 500 of them.
    """
    size = math.prod(map(len, sweep.grid.values()))
    if size > _MOST:
        raise ConfigError(f"sweep: {size} combinations; at most {_MOST} are made in one sweep")
    combined = []
    for combination in itertools.product(*(values.items() for values in sweep.grid.values())):
        labels = {key: label for key, (label, _) in zip(sweep.grid, combination, strict=True)}
        values = copy.deepcopy(sweep.base)
        chosen = {key: copy.deepcopy(value) for key, (_, value) in zip(sweep.grid, combination, strict=True)}
        recipe = chosen.pop(_RECIPES, None)
        for key, value in chosen.items():
            if key.startswith(_OF_RECIPE):
                _vary_recipe(recipe or [], key, value)
            else:
                set_key(values, key, value, f"sweep.{key}")
        if recipe is not None:
            _add_recipe(values, recipe)
        try:
            combined.append(Cell(labels, checked(values)))
        except ConfigError as error:
            raise ConfigError(f"sweep, at {_labels_text(labels)}: {error}") from error
    return tuple(combined)


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _labels_text(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key} = {label}" for key, label in labels.items())


def _values(key: str, values: Any) -> dict[str, Any]:
    if key != _RECIPES:
        return _named(key, values)
    if isinstance(values, list):
        if unknown := [name for name in values if not isinstance(name, str) or name not in RECIPES]:
            raise ConfigError(f"sweep.recipes: unknown recipe {unknown[0]!r}; known are {', '.join(RECIPES)}")
        values = {name: [arm.model_dump(mode="json", exclude_unset=True) for arm in RECIPES[name]] for name in values}
    recipes = _named(key, values)
    if wrong := [name for name, arms in recipes.items() if not isinstance(arms, list) or not arms]:
        raise ConfigError(f"sweep.recipes.{wrong[0]}: a list of arms is expected, the judged one first")
    return recipes


def _vary_recipe(arms: list[Any], key: str, value: Any) -> None:
    """Set a key of the recipe's arms that are written out and have its section.

    Raises:
        ConfigError: the judged arm has not, so that nothing would be varied.
    """
    *sections, field = key.removeprefix(_OF_RECIPE).split(".")
    for number, arm in enumerate(arms or [None]):
        section = arm
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section[field] = value
        elif number == 0:
            raise ConfigError(f"sweep.{key}: the arm that a recipe judges has no section of it to vary")


def _add_recipe(values: dict[str, Any], arms: list[Any]) -> None:
    """Compare the recipe's arms beside the others, and judge the first of them."""
    values["arms"] = [*values.get("arms", DEFAULT_ARMS), *arms]
    judged = arms[0] if isinstance(arms[0], str) else arms[0].get("name", "") if isinstance(arms[0], dict) else ""
    set_key(values, "evaluation.primary.arm", judged, f"sweep.{_RECIPES}")


def _named(key: str, values: Any) -> dict[str, Any]:
    if isinstance(values, dict) and values:
        return {str(name): value for name, value in values.items()}
    if not isinstance(values, list) or not values:
        raise ConfigError(f"sweep.{key}: a list of values is expected, or a mapping of names to values")
    by_label = {_label(value): value for value in values}
    if len(by_label) < len(values):
        raise ConfigError(f"sweep.{key}: two values look the same; give a mapping of names to values")
    return by_label


def _label(value: Any) -> str:
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
