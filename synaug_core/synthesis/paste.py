"""A rare object on other surroundings: what a mask shows of an image of the class, on an image of a frequent one."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from synaug_core import errors, seeds
from synaug_core.classify.augment import rectangles
from synaug_core.config import PasteConfig, SynthesisConfig
from synaug_core.data.imageset import LABEL_SHARES, ImageSet, concatenate
from synaug_core.generators import randoms
from synaug_core.generators.pixels import in_blocks, to_float, to_uint8
from synaug_core.synthesis.plan import frequent_classes
from synaug_core.synthesis.strategy import NewImages, Source

__all__ = ["blend_poisson", "cutmix", "paste"]

_CPU = torch.device("cpu")
_LEAST_CHANGE, _STEPS_PER_PIXEL = 1e-4, 2
"""Where the search for a Poisson blend ends: the residual over the first one, and steps for each pixel of the side."""


def paste(source: Source, n: int, config: SynthesisConfig, *, seed: int) -> NewImages:
    """Objects of the class on images of frequent classes, each in its place: m x + (1 - m) y.

    x goes through all images of the class in a random order before any comes again; y is an image of a frequent class
    (`plan.frequent_classes`), each class as often as any other. The mask m covers a share of the image that is drawn
    from `config.paste.area`: the part of x in which a classifier of real images finds most evidence for the class
    (`mask: map`, EigenGradCAM), or a square (`box`: CMO, Park et al., arXiv 2112.00412; also where the map shows
    nothing). With `mask: files` it is what the mask of x covers. With `label: area` the image belongs to both classes
    by their shares of it, with `kept` to that of x.

    Provenance has the parent x, the donor y and the `area` of the mask.

    Raises:
        ConfigError: `mask: map` without a trained classifier, or `files` without masks.
        NoMapsError: a classifier that has no maps.
        DataError: no other class has two images, or a mask is black.
    """
    own, choices = source.images, config.paste
    names = frequent_classes(source.class_name, source.other_classes.counts() | {source.class_name: len(own)})
    donors = _Donors([source.other_classes.of_class(name) for name in names])
    share = randoms.uniform(n, 5, seeds.derive(seed, "paste"))
    first = randoms.cycle(n, len(own), seeds.derive(seed, "first"))
    second = donors.draw(share[:, 0], share[:, 1])
    inside = _rectangles(choices.area, share[:, 2:], own.size)
    if choices.mask == "map":
        inside = _strongest(_evidence(source)[first], _areas(choices.area, share[:, 2]), otherwise=inside)
    elif choices.mask == "files":
        inside = _drawn(source)[first]
    images, area = _blend(own.images, first, donors.images.images, second, inside, choices)
    is_shared = choices.label == "area"
    provenance = [
        {
            "parents": [own.ids[i]],
            "donors": [donors.images.ids[j]],
            "area": a,
            **(_shares({source.class_name: a, donors.class_of(j): 1 - a}) if is_shared else {}),
        }
        for i, j, a in zip(first.tolist(), second.tolist(), area.tolist(), strict=True)
    ]
    return NewImages(images, provenance, {"area": float(area.mean())} if n else {})


def cutmix(source: Source, n: int, config: SynthesisConfig, *, seed: int) -> NewImages:
    """The control of `paste`: images of the class with a rectangle of an image of any class, each class as often as any
    other, in its place; labels by area (Yun et al., arXiv 1905.04899).

    The rectangle's area is drawn from `config.paste.area`, and its edge is hard. Where both are of the class, it is of
    another image, and both are parents.
    """
    own, area_of = source.images, config.paste.area
    pool = _Donors(
        [own, *(source.other_classes.of_class(name) for name, count in source.other_classes.counts().items() if count)]
    )
    share = randoms.uniform(n, 5, seeds.derive(seed, "cutmix"))
    first = randoms.cycle(n, len(own), seeds.derive(seed, "first"))
    second = pool.draw(share[:, 0], share[:, 1])
    another = (first + 1 + (share[:, 1] * (len(own) - 1)).long()) % len(own)
    second = torch.where(second < len(own), another, second)
    inside = _rectangles(area_of, share[:, 2:], own.size)
    hard = config.paste.model_copy(update={"blending": "none"})
    images, area = _blend(pool.images.images, second, own.images, first, inside, hard)
    provenance: list[dict[str, Any]] = []
    for i, j, a in zip(first.tolist(), second.tolist(), area.tolist(), strict=True):
        if j < len(own):
            provenance.append({"parents": [own.ids[i], own.ids[j]], "area": a})
        else:
            shares = _shares({source.class_name: 1 - a, pool.class_of(j): a})
            provenance.append({"parents": [own.ids[i]], "donors": [pool.images.ids[j]], "area": a, **shares})
    return NewImages(images, provenance, {"area": float(area.mean())} if n else {})


class _Donors:
    """Images of some classes, drawn class by class."""

    def __init__(self, parts: Sequence[ImageSet]) -> None:
        self.images = concatenate(parts)
        self._counts = torch.tensor([len(part) for part in parts])

    def draw(self, which_class: Tensor, which_image: Tensor) -> Tensor:
        """Positions of images, int64 (n,), by uniform numbers in [0, 1), float64 (n,) each."""
        classes = (which_class * len(self._counts)).long()
        return (self._counts.cumsum(0) - self._counts)[classes] + (which_image * self._counts[classes]).long()

    def class_of(self, position: int) -> str:
        return self.images.classes[int(self.images.labels[position])]


def _shares(by_class: dict[str, float]) -> dict[str, Any]:
    return {LABEL_SHARES: by_class}


def _evidence(source: Source) -> Tensor:
    """Where a classifier finds evidence for the class in each of its images, float32 (m, h, w) in [0, 1]."""
    from synaug_core.probes.explanation.eigengradcam import eigen_grad_cam

    if not source.target:
        raise errors.ConfigError("synthesis.paste.mask: map needs a classifier trained on real images; or take box")
    classifier = source.target[0]
    targets = torch.full((len(source.images),), classifier.classes.index(source.class_name))
    return torch.from_numpy(eigen_grad_cam(classifier, source.images.images, targets))


def _drawn(source: Source) -> Tensor:
    """Where the object is in each of the class's images, bool (m, h, w)."""
    if source.masks is None:
        raise errors.ConfigError("synthesis.paste.mask: files needs masks; name their folder in synthesis.paste.masks")
    inside = torch.stack([source.masks[name] >= 0.5 for name in source.images.ids])
    if empty := [
        name for name, is_there in zip(source.images.ids, inside.flatten(1).any(1), strict=True) if not is_there
    ]:
        raise errors.DataError(
            f"synthesis.paste.masks: the mask of {empty[0]!r} is black; nothing of it would be shown"
        )
    return inside


def _areas(interval: tuple[float, float], share: Tensor) -> Tensor:
    low, high = interval
    return low + (high - low) * share


def _rectangles(interval: tuple[float, float], share: Tensor, size: int) -> Tensor:
    """A square of each area that lies within the image, bool (n, h, w); `share` float64 (n, 3): area and place."""
    side = _areas(interval, share[:, 0]).sqrt()
    centre = side / 2 + (1 - side) * share[:, 1:].T
    return rectangles(torch.empty(len(share), 1, size, size), torch.stack([side, side]), centre)[:, 0]


def _strongest(maps: Tensor, areas: Tensor, *, otherwise: Tensor) -> Tensor:
    """The brightest pixels of each map, as many as the area says and only where there is evidence, bool (n, h, w);
    `otherwise` where a map is dark everywhere."""
    flat = maps.flatten(1)
    rank = flat.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    inside = (rank < (areas[:, None] * flat.shape[1]).round()) & (flat > 0)
    is_dark = ~inside.any(dim=1)
    return torch.where(is_dark[:, None, None], otherwise, inside.view_as(maps))


def _blend(
    objects: Tensor, first: Tensor, surroundings: Tensor, second: Tensor, inside: Tensor, choices: PasteConfig
) -> tuple[Tensor, Tensor]:
    """The images, uint8 (n, c, h, w), and the share of each that is of the object, float64 (n,).

    Args:
        objects: uint8 images, of which rows `first` are shown inside.
        first: int64 (n,).
        surroundings: uint8 images, of which rows `second` are shown outside.
        second: int64 (n,).
        inside: bool (n, h, w).
        choices: how they are blended.
    """
    soft = inside.float()[:, None]
    if choices.blending == "feather" and len(soft):
        soft = torch.cat([_blurred(part, choices.feather * inside.shape[-1]) for part in torch.split(soft, 256)])

    def draw(rows: Tensor) -> Tensor:
        x, y = to_float(objects[first[rows]].cpu()), to_float(surroundings[second[rows]].cpu())
        if choices.blending == "poisson":
            return to_uint8(blend_poisson(x, y, inside[rows]))
        return to_uint8(torch.lerp(y, x, soft[rows]))

    images = in_blocks(len(first), draw, _CPU) if len(first) else objects[:0].cpu()
    return images, soft.double().mean(dim=(1, 2, 3))


def _blurred(masks: Tensor, sigma: float) -> Tensor:
    """Masks (n, 1, h, w) with soft edges: a Gaussian of this many pixels, the image's edge repeated."""
    radius = min(max(1, round(3 * sigma)), masks.shape[-1] - 1)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / max(sigma, 1e-3)) ** 2)
    weights = weights / weights.sum()
    rows = F.conv2d(F.pad(masks, (0, 0, radius, radius), mode="replicate"), weights.view(1, 1, -1, 1))
    return F.conv2d(F.pad(rows, (radius, radius, 0, 0), mode="replicate"), weights.view(1, 1, 1, -1)).clamp(0, 1)


def blend_poisson(objects: Tensor, surroundings: Tensor, inside: Tensor) -> Tensor:
    """Inside the mask the differences between neighbouring pixels are the object's, outside all is the surroundings':
    no seam, and the object takes their brightness and colour on (Perez et al., "Poisson Image Editing", 2003).

    The linear system is solved by conjugate gradients, each image by itself, until its residual is a ten-thousandth of
    what it was.

    Args:
        objects: float (n, c, h, w) in [0, 1].
        surroundings: the same.
        inside: bool (n, h, w); an image that is all inside is the object as it is.

    Returns:
        float (n, c, h, w) in [0, 1].
    """
    mask = inside[:, None].to(objects)
    neighbours = _sum_of_neighbours(torch.ones_like(mask))

    def laplacian(images: Tensor) -> Tensor:
        return neighbours * images - _sum_of_neighbours(images)

    # f = surroundings + d with d = 0 outside; inside, laplacian(f) = laplacian(object)
    residual = mask * laplacian(objects - surroundings)
    offset = torch.zeros_like(residual)
    direction, energy = residual, residual.square().sum((2, 3), keepdim=True)
    least = energy * _LEAST_CHANGE**2
    for _ in range(_STEPS_PER_PIXEL * objects.shape[-1]):
        unsolved = energy > least
        if not bool(unsolved.any()):
            break
        step = mask * laplacian(direction)
        length = torch.where(unsolved, energy / (direction * step).sum((2, 3), keepdim=True).clamp_min(1e-20), 0.0)
        offset = offset + length * direction
        residual = residual - length * step
        former, energy = energy, torch.where(unsolved, residual.square().sum((2, 3), keepdim=True), energy)
        direction = torch.where(unsolved, residual + energy / former.clamp_min(1e-20) * direction, direction)
    blended = (surroundings + offset).clamp(0, 1)
    is_all = inside.flatten(1).all(dim=1)[:, None, None, None]
    return torch.where(is_all, objects, blended)


def _sum_of_neighbours(images: Tensor) -> Tensor:
    """Of the up to four pixels beside each, (n, c, h, w)."""
    padded = F.pad(images, (1, 1, 1, 1))
    across = padded[:, :, 1:-1, :-2] + padded[:, :, 1:-1, 2:]
    return across + padded[:, :, :-2, 1:-1] + padded[:, :, 2:, 1:-1]
