"""How many new images each class gets: imbalanced-learn's vocabulary for over-sampling, and `every`."""

from collections.abc import Mapping
from math import floor

from synaug_core.errors import ConfigError, DataError

__all__ = ["Strategy", "frequent_classes", "plan"]

_SAME_SHARE = "every"
"""The word for the same share of synthetic images in every class."""

Strategy = str | float | Mapping[str, int]
"""`auto`, `not majority`, `not minority`, `all`, `minority`, `every`, a ratio, or wanted totals by class."""


def plan(counts: Mapping[str, int], strategy: Strategy, multiple: float = 1.0) -> dict[str, int]:
    """Number of new images of each class of `counts`, in its order; classes that get none have 0.

    - `auto`, `not majority`, `all`: every class up to the largest one's count (the largest lacks nothing).
    - `not minority`: the same, leaving out the smallest class; `minority`: the smallest class alone.
    - `every`: as many as the class has. The share of synthetic images is then the same in every class, before and
      after classes are balanced by draws, so that what gives a synthetic image away says nothing of its class.
    - a ratio in (0, 1], with two classes: the smaller one up to that share of the larger one.
    - wanted totals by class: what is missing to them; classes not named get none.

    Of several smallest classes the first counts as the smallest. Classes without images are left out of all
    this: there is nothing to learn them from. `multiple` times each number is made, rounded half up.

    Raises:
        ConfigError: an unknown word, a ratio outside (0, 1] or below the present one or with other than two
            classes, a total for an unknown or empty class or below its present count.
    """
    present = {name: n for name, n in counts.items() if n > 0}
    if isinstance(strategy, Mapping):
        missing = _to_totals(counts, strategy)
    elif strategy == _SAME_SHARE:
        missing = present
    elif isinstance(strategy, str):
        missing = _to_largest(present, strategy)
    else:
        missing = _to_ratio(present, float(strategy))
    return {name: floor(missing.get(name, 0) * multiple + 0.5) for name in counts}


def frequent_classes(class_name: str, counts: Mapping[str, int]) -> tuple[str, ...]:
    """The other classes whose variation a class is given: those with more images than it has, or all where none has
    more. A class of one image shows no variation.

    Raises:
        DataError: no other class has two images.
    """
    varied = {name: n for name, n in counts.items() if n > 1 and name != class_name}
    if not varied:
        raise DataError(
            f"no class but {class_name!r} has two training images, so there is no variation of other classes that it "
            "could be given; use interpolate"
        )
    return tuple(name for name, n in varied.items() if n > counts[class_name]) or tuple(varied)


def _to_largest(present: Mapping[str, int], word: str) -> dict[str, int]:
    if not present:
        return {}
    smallest = min(present, key=lambda name: present[name])
    chosen = {
        "auto": set(present),
        "all": set(present),
        "not majority": set(present),
        "not minority": set(present) - {smallest},
        "minority": {smallest},
    }
    if word not in chosen:
        words = ", ".join([*chosen, _SAME_SHARE])
        raise ConfigError(f"synthesis.sampling_strategy: unknown word {word!r}; known are {words}")
    most = max(present.values())
    return {name: most - n for name, n in present.items() if name in chosen[word]}


def _to_ratio(present: Mapping[str, int], ratio: float) -> dict[str, int]:
    key = f"synthesis.sampling_strategy: ratio {ratio:g}"
    if not 0 < ratio <= 1:
        raise ConfigError(f"{key} must lie in (0, 1]: the smaller class's count over the larger one's")
    if len(present) != 2:
        raise ConfigError(f"{key} needs two classes with images, there are {len(present)}; use a word or totals")
    smaller, larger = sorted(present, key=lambda name: present[name])
    total = int(present[larger] * ratio)
    if total < present[smaller]:
        now = present[smaller] / present[larger]
        raise ConfigError(f"{key} is below the present one ({now:.3g}); images are added, never removed")
    return {smaller: total - present[smaller]}


def _to_totals(counts: Mapping[str, int], totals: Mapping[str, int]) -> dict[str, int]:
    key = "synthesis.sampling_strategy"
    for name, total in totals.items():
        if name not in counts:
            raise ConfigError(f"{key}: unknown class {name!r}; classes are {', '.join(counts)}")
        if total < counts[name]:
            raise ConfigError(f"{key}: {total} of class {name!r} wanted, {counts[name]} are there; none are removed")
        if not counts[name] and total:
            raise ConfigError(f"{key}: class {name!r} has no training images to make new ones from")
    return {name: total - counts[name] for name, total in totals.items()}
