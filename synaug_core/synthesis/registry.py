"""The strategies by name. Others register theirs the same way."""

from __future__ import annotations

from synaug_core.errors import ConfigError
from synaug_core.synthesis.interpolate import interpolate
from synaug_core.synthesis.made import Strategy
from synaug_core.synthesis.prior import prior
from synaug_core.synthesis.reconstruct import reconstruct

__all__ = ["find", "names", "register"]

_STRATEGIES: dict[str, Strategy] = {}


def register(name: str, strategy: Strategy) -> None:
    """Make a strategy known under a name.

    Raises:
        ConfigError: the name belongs to another strategy.
    """
    if _STRATEGIES.setdefault(name, strategy) is not strategy:
        raise ConfigError(f"synthesis strategy {name!r} is taken")


def names() -> tuple[str, ...]:
    """The names known, sorted."""
    return tuple(sorted(_STRATEGIES))


def find(name: str) -> Strategy:
    """The strategy of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in _STRATEGIES:
        raise ConfigError(f"synthesis.strategy: unknown strategy {name!r}; known are {', '.join(names())}")
    return _STRATEGIES[name]


register("interpolate", interpolate)
register("prior", prior)
register("reconstruct", reconstruct)
