"""The strategies by name. Others register theirs the same way."""

from __future__ import annotations

from dataclasses import dataclass

from synaug_core.errors import ConfigError
from synaug_core.plugins import STRATEGIES, load_plugin, plugin_names
from synaug_core.synthesis.duplicate import duplicate
from synaug_core.synthesis.interpolate import interpolate
from synaug_core.synthesis.made import Strategy
from synaug_core.synthesis.mixup import mixup
from synaug_core.synthesis.prior import prior
from synaug_core.synthesis.reconstruct import reconstruct
from synaug_core.synthesis.targeted.offline import random, targeted

__all__ = ["Entry", "find", "names", "register"]


@dataclass(frozen=True)
class Entry:
    """A strategy and what it needs.

    Attributes:
        make: the strategy.
        generator: a fitted generator of the class.
        latent: one that encodes and decodes.
        target: classifiers trained on real images.
        repeats: a control that repeats training images on purpose: copies and near-duplicates pass the filters.
    """

    make: Strategy
    generator: bool = True
    latent: bool = False
    target: bool = False
    repeats: bool = False


_STRATEGIES: dict[str, Entry] = {}


def register(name: str, entry: Entry) -> None:
    """Make a strategy known under a name.

    Raises:
        ConfigError: the name belongs to another strategy.
    """
    if _STRATEGIES.setdefault(name, entry) != entry:
        raise ConfigError(f"synthesis strategy {name!r} is taken")


def names() -> tuple[str, ...]:
    """The names known, sorted; those of plugins too."""
    return tuple(sorted({*_STRATEGIES, *plugin_names(STRATEGIES)}))


def find(name: str) -> Entry:
    """The strategy of that name.

    Raises:
        ConfigError: there is none, or the plugin that announces it cannot be used.
    """
    if name not in _STRATEGIES and (plugin := load_plugin(STRATEGIES, name)) is not None:
        if not isinstance(plugin, Entry):
            raise ConfigError(
                f"plugin {name!r} ({STRATEGIES}): {plugin!r} is no Entry of synaug_core.synthesis.registry"
            )
        register(name, plugin)
    if name not in _STRATEGIES:
        raise ConfigError(f"synthesis.strategy: unknown strategy {name!r}; known are {', '.join(names())}")
    return _STRATEGIES[name]


register("duplicate", Entry(duplicate, generator=False, repeats=True))
register("interpolate", Entry(interpolate, latent=True))
register("mixup", Entry(mixup, generator=False))
register("prior", Entry(prior))
register("reconstruct", Entry(reconstruct, latent=True, repeats=True))
register("random", Entry(random, latent=True, target=True))
register("targeted", Entry(targeted, latent=True, target=True))
