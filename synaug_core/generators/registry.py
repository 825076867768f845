"""The kinds of generators by name. A kind's class says all that is to be known of it; see `Generator`."""

from pathlib import Path

import torch

from synaug_core import errors, plugins
from synaug_core.config import GeneratorConfig
from synaug_core.generators import autoencoder, base, class_vae, diffusion, gan, resized, storage

__all__ = ["create", "find", "kinds", "latent_kinds", "load", "register"]

_BUILT_IN: tuple[type[base.Generator], ...] = (
    class_vae.ClassVAE,
    autoencoder.SpatialAutoencoder,
    gan.ConditionalGAN,
    diffusion.ConditionalDiffusion,
)
_KINDS: dict[str, type[base.Generator]] = {cls.kind: cls for cls in _BUILT_IN}


def register(kind: str, cls: type[base.Generator]) -> None:
    """Register a generator class under a name.

    Raises:
        ConfigError: the name belongs to another class.
    """
    if _KINDS.setdefault(kind, cls) is not cls:
        raise errors.ConfigError(f"generator kind {kind!r} is taken by {_KINDS[kind].__name__}")


def kinds() -> tuple[str, ...]:
    """List the names of all kinds, sorted; those of plugins too."""
    return tuple(sorted({*_KINDS, *plugins.plugin_names(plugins.GENERATORS)}))


def latent_kinds() -> tuple[str, ...]:
    """The names of kinds with a latent space, sorted; of plugins only those in use, as asking imports them."""
    return tuple(sorted(kind for kind, cls in _KINDS.items() if issubclass(cls, base.LatentGenerator)))


def find(kind: str) -> type[base.Generator]:
    """Find the class of a kind, from here or from an installed plugin.

    Raises:
        ConfigError: no such kind.
    """
    if kind not in _KINDS and (plugin := plugins.load_plugin(plugins.GENERATORS, kind)) is not None:
        _register_plugin(kind, plugin)
    if kind not in _KINDS:
        raise errors.ConfigError(f"generator.kind: unknown kind {kind!r}; known are {', '.join(kinds())}")
    return _KINDS[kind]


def create(config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> base.Generator:
    """Create an unfitted generator of `config.kind`, for images of `size` pixels a side.

    Where the configuration has it learn smaller ones, it shrinks and enlarges them itself.

    Raises:
        ConfigError: no such kind, or the plugin that announces it cannot be used.
    """
    kind = find(config.kind)
    if config.learnt_size(size) < size:
        kind = resized.resized(kind)
    return kind(config, classes, channels, size)


def load(folder: Path, device: torch.device | str = "cpu") -> base.Generator:
    """Load a fitted generator from the folder that `save` wrote.

    Raises:
        ArtifactError: the folder does not hold a generator.
        ConfigError: its kind is not registered here.
    """
    kind = find(storage.read_kind(folder))
    if resized.is_resized(folder):
        kind = resized.resized(kind)
    return kind.load(folder, device)


def _register_plugin(kind: str, plugin: object) -> None:
    if not (isinstance(plugin, type) and issubclass(plugin, base.Generator)):
        raise errors.ConfigError(f"plugin {kind!r} ({plugins.GENERATORS}): {plugin!r} is no subclass of Generator")
    class_kind = getattr(plugin, "kind", None)
    if class_kind != kind:
        raise errors.ConfigError(
            f"plugin {kind!r} ({plugins.GENERATORS}): its class says kind = {class_kind!r}; the two must be equal"
        )
    register(kind, plugin)
