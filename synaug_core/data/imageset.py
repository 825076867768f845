"""The one way images travel in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["LABEL_SHARES", "ImageSet", "Labelled", "concatenate", "find_repeated_ids"]

LABEL_SHARES = "label_shares"
"""Key of the provenance of an image that belongs to several classes: class -> share; they add up to about 1."""


class Labelled(Protocol):
    """What draws and weights in the loss depend on."""

    @property
    def labels(self) -> Tensor:
        """int64 (n,), indices into `classes`."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        ...

    def label_shares(self) -> Tensor | None:
        """Float (n, classes), where something belongs to several classes."""
        ...

    def is_synthetic(self) -> Tensor:
        """Bool (n,): what was made."""
        ...


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images with their origin.

    Attributes:
        images: uint8, shape (n, channels, size, size), channels 1 or 3, values 0 to 255.
        labels: int64, shape (n,), indices into `classes`.
        classes: class names; a class may have no image.
        ids: n names, unique within a data set.
        groups: n group names; images of one group (patient, frame) stay on one side of a split.
        provenance: n JSON texts: {"source": ...} of a real image, {"generator": ..., "parents": [...], ...}
            of a synthetic one.

    Raises:
        ValueError: shapes, dtypes or lengths that do not agree.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    provenance: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] not in (1, 3):
            raise ValueError(
                f"images: uint8 (n, 1 or 3, h, w) expected, got {self.images.dtype} {tuple(self.images.shape)}"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != (n,):
            raise ValueError(f"labels: int64 ({n},) expected, got {self.labels.dtype} {tuple(self.labels.shape)}")
        if not len(self.ids) == len(self.groups) == len(self.provenance) == n:
            raise ValueError("ids, groups and provenance must be as many as the images")
        if n and not (int(self.labels.min()) >= 0 and int(self.labels.max()) < len(self.classes)):
            raise ValueError("labels: an index is outside the classes")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (colour)."""
        return self.images.shape[1]

    @property
    def size(self) -> int:
        """Side length in pixels."""
        return self.images.shape[-1]

    def counts(self) -> dict[str, int]:
        """Number of images of each class, in class order, zeros included."""
        counts = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    def is_synthetic(self) -> Tensor:
        """Bool (n,): the images that were made, by their provenance."""
        return torch.tensor(["source" not in json.loads(text) for text in self.provenance], dtype=torch.bool)

    def label_shares(self) -> Tensor | None:
        """The share of each class in each image's label, float32 (n, classes), rows adding up to 1; None where every
        image belongs to one class."""
        origins = ((row, json.loads(text)) for row, text in enumerate(self.provenance) if LABEL_SHARES in text)
        given = {row: origin[LABEL_SHARES] for row, origin in origins if LABEL_SHARES in origin}
        if not given:
            return None
        shares = torch.nn.functional.one_hot(self.labels, len(self.classes)).float()
        for row, by_class in given.items():
            shares[row] = torch.tensor([float(by_class.get(name, 0.0)) for name in self.classes])
        return shares / shares.sum(dim=1, keepdim=True)

    def tensors(self) -> tuple[Tensor, ...]:
        """All that a training learns from it."""
        shares = self.label_shares()
        return (self.images, self.labels, self.is_synthetic(), *([] if shares is None else [shares]))

    def take(self, index: Tensor | Sequence[int]) -> ImageSet:
        """The images at `index` (int64 positions or a boolean mask), in that order."""
        positions = torch.as_tensor(index)
        positions = positions.nonzero().flatten() if positions.dtype == torch.bool else positions.to(torch.int64)
        rows = positions.tolist()
        return ImageSet(
            images=self.images[positions],
            labels=self.labels[positions],
            classes=self.classes,
            ids=tuple(self.ids[i] for i in rows),
            groups=tuple(self.groups[i] for i in rows),
            provenance=tuple(self.provenance[i] for i in rows),
        )

    def rows_of(self, name: str) -> Tensor:
        """Positions of the images of one class, int64, ascending; none where the class is not in `classes`."""
        label = self.classes.index(name) if name in self.classes else -1
        return (self.labels == label).nonzero().flatten()

    def of_class(self, name: str) -> ImageSet:
        """The images of one class; `classes` stays as it is."""
        return self.take(self.labels == self.classes.index(name))

    def head_of_each_class(self, counts: Mapping[str, int]) -> ImageSet:
        """The first `counts[class]` images of each class (0 where a class is not named), in order of classes."""
        return self.take(torch.cat([self.rows_of(name)[: counts.get(name, 0)] for name in self.classes]))


def concatenate(sets: Sequence[ImageSet]) -> ImageSet:
    """One set after the other. All must have the same classes and image shape."""
    first = sets[0]
    if any(s.classes != first.classes for s in sets):
        raise ValueError("the sets have different classes")
    return ImageSet(
        images=torch.cat([s.images for s in sets]),
        labels=torch.cat([s.labels for s in sets]),
        classes=first.classes,
        ids=tuple(i for s in sets for i in s.ids),
        groups=tuple(g for s in sets for g in s.groups),
        provenance=tuple(p for s in sets for p in s.provenance),
    )


def find_repeated_ids(images: ImageSet, earlier: ImageSet) -> frozenset[str]:
    """Ids of the images whose pixels are those of an image of `earlier`; names, labels and groups do not count."""
    earlier_digests = set(_digests(earlier))
    return frozenset(
        name for name, digest in zip(images.ids, _digests(images), strict=True) if digest in earlier_digests
    )


def _digests(images: ImageSet) -> Iterator[bytes]:
    shape = repr(tuple(images.images.shape[1:])).encode()
    for image in images.images.cpu().numpy():
        yield hashlib.blake2b(image.tobytes(), digest_size=16, key=shape).digest()
