"""The kinds of generators by name. Others register theirs the same way."""

from __future__ import annotations

from pathlib import Path

import torch

from synaug_core.config import GeneratorConfig
from synaug_core.errors import ConfigError
from synaug_core.generators import storage
from synaug_core.generators.base import Generator
from synaug_core.generators.class_vae import ClassVAE

__all__ = ["create", "kinds", "load", "register"]

_KINDS: dict[str, type[Generator]] = {}


def register(kind: str, cls: type[Generator]) -> None:
    """Make a class known under a name.

    Raises:
        ConfigError: the name belongs to another class.
    """
    if _KINDS.setdefault(kind, cls) is not cls:
        raise ConfigError(f"generator kind {kind!r} is taken by {_KINDS[kind].__name__}")


def kinds() -> tuple[str, ...]:
    """The names known, sorted."""
    return tuple(sorted(_KINDS))


def create(config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> Generator:
    """An unfitted generator of `config.kind`.

    Raises:
        ConfigError: no such kind.
    """
    return _find(config.kind)(config, classes, channels, size)


def load(folder: Path, device: torch.device | str = "cpu") -> Generator:
    """A fitted generator from the folder that `save` wrote.

    Raises:
        ArtifactError: the folder does not hold a generator.
        ConfigError: its kind is not registered here.
    """
    return _find(storage.read_kind(folder)).load(folder, device)


def _find(kind: str) -> type[Generator]:
    if kind not in _KINDS:
        raise ConfigError(f"generator.kind: unknown kind {kind!r}; known are {', '.join(kinds())}")
    return _KINDS[kind]


register(ClassVAE.kind, ClassVAE)
