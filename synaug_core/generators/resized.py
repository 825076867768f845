"""Around any kind of generator: models that learn smaller images than the generator takes and gives.

Images are shrunk once before a fit and before they are encoded, and what is decoded or sampled is enlarged. A fit then
takes the time and the memory of the small images, and every strategy works on images of the stored size; it may give
them back the detail that the small ones lack (see `synaug_core.synthesis.interpolate`).
"""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor

from synaug_core import errors
from synaug_core.config import GeneratorConfig
from synaug_core.data import imageset
from synaug_core.generators import base
from synaug_core.generators.pixels import deterministic_kernels, in_chunks, to_float, to_uint8
from synaug_core.nets.shown import Resize

__all__ = ["is_resized", "resized"]

_FILE = "resized.json"
"""Beside what the models' own kind writes: the size of the images that the generator takes and gives."""
_LARGEST = 4096


@functools.cache
def resized(kind: type[base.Generator]) -> type[base.Generator]:
    """The class of generators whose models are of `kind` and learn images of `config.learnt_size(size)` pixels.

    It has a latent space where `kind` has one, and keeps its name and whether its classes are fitted together.
    """
    parent = _ResizedLatent if issubclass(kind, base.LatentGenerator) else _Resized
    facts = {"kind": kind.kind, "joint": kind.joint, "inner_kind": kind, "__doc__": parent.__doc__}
    return cast(type[base.Generator], type(f"Resized{kind.__name__}", (parent,), facts))


def is_resized(folder: Path) -> bool:
    """Whether a generator of a class that `resized` gives was saved here."""
    return (folder / _FILE).is_file()


class _Resized(base.Generator):
    """Models of smaller images. What its constructor and methods say of images' size is about the larger ones."""

    inner_kind: ClassVar[type[base.Generator]]

    def __init__(self, config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> None:
        super().__init__(config, classes, channels, size)
        self._use(self.inner_kind(config, classes, channels, config.learnt_size(size)))

    @property
    def learnt_size(self) -> int:
        """Side length in pixels of the images that the models learn and make."""
        return self._inner.size

    def fit(self, images: imageset.ImageSet, job: base.FitJob) -> Self:
        """Shrink the images of the group's classes, once, and have the models learn these."""
        parts = (self.of_class(images, name) for name in sorted(self.classes))
        small_images = imageset.concatenate([replace(part, images=self._shrunk(part.images)) for part in parts])
        self._use(self._inner.fit(small_images, job))
        return self

    def sample(self, n: int, class_name: str, *, seed: int) -> Tensor:
        """The models' new images, enlarged."""
        return _resize_pixels(self._inner.sample(n, class_name, seed=seed), self._enlarge)

    def save(self, folder: Path) -> None:
        """Write what the models' kind writes, and the size beside it."""
        self._inner.save(folder)
        (folder / _FILE).write_text(json.dumps({"size": self.size}) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote."""
        inner = cls.inner_kind.load(folder, device)
        generator = cls(inner.config, inner.classes, inner.channels, _read_size(folder, above=inner.size))
        generator._use(inner)
        return generator

    def _use(self, inner: base.Generator) -> None:
        self._inner, self.reports = inner, inner.reports
        self._shrink, self._enlarge = Resize(self.size, inner.size), Resize(inner.size, self.size)

    def _shrunk(self, images: Tensor) -> Tensor:
        """uint8 (n, channels, size, size) to the models' size, on the CPU: the same bytes on any device."""
        return _resize_pixels(images.cpu(), self._shrink)


class _ResizedLatent(_Resized, base.LatentGenerator):
    """Models of smaller images, with a latent space. The sizes that its methods speak of are those of larger ones."""

    _inner: base.LatentGenerator

    def posteriors(self, images: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
        """Of the images, shrunk: those that the models' fit has kept, where it has learnt from them."""
        return self._inner.posteriors(self._shrunk(images), class_name)

    def encode(self, images: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
        """Posterior mean and log variance of the images, shrunk."""
        return self._inner.encode(self._shrunk(images), class_name)

    def decode(self, z: Tensor, class_name: str) -> Tensor:
        """The models' images of latent vectors, enlarged."""
        small_images = self._inner.decode(z, class_name)
        enlarge = self._enlarge.to(small_images.device)
        with torch.no_grad(), deterministic_kernels(small_images.device):
            return in_chunks(small_images, enlarge)

    def decode_with_gradient(self, z: Tensor, class_name: str) -> Tensor:
        """The same, differentiable; where an enlarged value had to be clamped, its gradient is 0."""
        small_images = self._inner.decode_with_gradient(z, class_name)
        enlarged: Tensor = self._enlarge.to(small_images.device)(small_images)
        return enlarged


def _resize_pixels(images: Tensor, resize: Callable[[Tensor], Tensor]) -> Tensor:
    """uint8 (n, c, h, w) to uint8 of the other size, each image from itself alone."""
    return in_chunks(images, lambda chunk: to_uint8(resize(to_float(chunk))))


def _read_size(folder: Path, *, above: int) -> int:
    try:
        spec: Any = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        size = spec["size"]
    except (OSError, ValueError, RecursionError, TypeError, KeyError) as error:
        raise errors.ArtifactError(f"{folder}: holds no resized generator ({_FILE} cannot be read)") from error
    if not isinstance(size, int) or not above < size <= _LARGEST:
        raise errors.ArtifactError(f"{folder / _FILE}: its images are not larger than the {above} px that it learnt")
    return size
