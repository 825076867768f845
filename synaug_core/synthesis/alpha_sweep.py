"""What lies between two training images: walks to look at, and what the place on the way does to new images."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from synaug_core.config import SynthesisConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators import base, pixels
from synaug_core.quality.distances import pairwise, sharpness, spacing
from synaug_core.seeds import derive
from synaug_core.synthesis import latent, strategy
from synaug_core.synthesis.interpolate import interpolate

__all__ = ["ALPHAS", "GRIDS", "MEASURES", "AlphaSweep", "Appearance", "alpha_sweep", "measure_appearance", "walks"]

ALPHAS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
"""Values of a, from the first end to the second."""
GRIDS = (2, 3, 5, 9, 17)
"""Numbers of values of a, evenly from 0 to 1."""
MEASURES = ("sharpness", "variety", "novelty", "distinct")
_MOST_CLASSES = 4
"""The rarest ones are swept: what alpha does is alike in all, and a sweep makes more images than a class needs."""
_MOST_REALS = 200
"""Training images of a class that are used."""
_NEW_IMAGES = 32
"""New images for each figure."""
_SAME = 0.05
"""Images nearer to each other than this share of the reals' typical distance count as one."""


@dataclass(frozen=True)
class Appearance:
    """How new images compare with the real ones of their class; None where that is undefined.

    Distances are root mean square differences of pixels in [0, 1].
    """

    sharpness: float | None
    """Mean absolute Laplacian of the brightness, over the reals'. 1: as sharp; noise counts as sharpness too."""
    variety: float | None
    """Mean distance between two of the images, over the reals'."""
    novelty: float | None
    """Mean distance to the nearest real image, over the median of that distance among the reals (the unit of the
    memorisation filter). 0: copies."""
    distinct: float | None
    """Share of images that have none before them within a twentieth of that median (the default of the filter of
    near-duplicates)."""


@dataclass(frozen=True, eq=False)
class AlphaSweep:
    """Appearance of one class's images over alpha, and a walk from one image to another.

    Attributes:
        class_name: the class.
        images: real images that the figures rest on.
        new_images: number of new images for each figure.
        by_alpha: a single value of a -> the appearance of images there.
        by_grid: number of values, evenly from 0 to 1 -> that of as many images on that grid.
        uniform: that of images with a drawn from [0, 1]: a grid without end.
        ends: the two real images of the walk, uint8 (2, c, h, w).
        walk: the images between them, uint8 (len(by_alpha), c, h, w).
    """

    class_name: str
    images: int
    new_images: int
    by_alpha: dict[float, Appearance]
    by_grid: dict[int, Appearance]
    uniform: Appearance
    ends: Tensor = field(repr=False)
    walk: Tensor = field(repr=False)

    def metrics(self, label: str) -> dict[str, float]:
        """Defined measures, by names such as `alpha/at-0.5/sharpness/label` or `alpha/grid-5/distinct/label`."""
        points = {f"at-{a:g}": appearance for a, appearance in self.by_alpha.items()}
        points |= {f"grid-{k}": appearance for k, appearance in self.by_grid.items()} | {"uniform": self.uniform}
        values = {f"alpha/{name}/{m}/{label}": getattr(point, m) for name, point in points.items() for m in MEASURES}
        return {name: value for name, value in values.items() if value is not None}


def alpha_sweep(generator: base.Generator, train: ImageSet, config: SynthesisConfig, *, seed: int) -> list[AlphaSweep]:
    """Interpolate at each of `ALPHAS` and on each of `GRIDS`, and measure how the images compare with real ones.

    All images of a class come from the same pairs; only a differs. Pairing, ends, path and detail are the
    configuration's. For the four classes with the fewest images; those with fewer than two are left out.

    Args:
        generator: fitted. Without a latent space nothing is swept.
        train: the training images.
        config: how to interpolate; its own `alpha` is not used.
        seed: what is drawn depends on this and the class's name.
    """
    if not isinstance(generator, base.LatentGenerator):
        return []
    sweeps = []
    for name in _rarest(generator, train):
        images = train.of_class(name)
        images = images.take(range(min(len(images), _MOST_REALS)))
        sweeps.append(_sweep(strategy.Source(name, images, generator), config, derive(seed, "alpha sweep", name)))
    return sweeps


def _rarest(generator: base.Generator, train: ImageSet) -> list[str]:
    """The generator's classes of two images or more that have the fewest, in its order."""
    counts = train.counts()
    usable = [name for name in generator.classes if counts[name] >= 2]
    rarest = sorted(usable, key=lambda name: counts[name])[:_MOST_CLASSES]
    return [name for name in usable if name in rarest]


def _sweep(source: strategy.Source, config: SynthesisConfig, seed: int) -> AlphaSweep:
    real_images = _RealImages(source.images.images)

    def interpolate_at(values: tuple[float, ...], mode: str = "grid") -> Tensor:
        variant = config.model_copy(update={"alpha": values, "alpha_mode": mode})
        return interpolate(source, _NEW_IMAGES, variant, seed=seed).images

    by_alpha = {a: interpolate_at((a,)) for a in ALPHAS}
    first_parents = interpolate(source, 1, config, seed=seed).provenance[0]["parents"]
    rows = [source.images.ids.index(parent) for parent in first_parents]
    return AlphaSweep(
        class_name=source.class_name,
        images=len(source.images),
        new_images=_NEW_IMAGES,
        by_alpha={a: real_images.compare(images) for a, images in by_alpha.items()},
        by_grid={k: real_images.compare(interpolate_at(tuple(i / (k - 1) for i in range(k)))) for k in GRIDS},
        uniform=real_images.compare(interpolate_at((0.0, 1.0), "uniform")),
        ends=source.images.images[rows].cpu(),
        walk=torch.cat([images[:1] for images in by_alpha.values()]),
    )


def walks(generator: base.Generator, train: ImageSet, config: SynthesisConfig) -> list[tuple[str, Tensor]]:
    """For the rarest classes of a latent generator: the name, and uint8 images (9, c, h, w) at `ALPHAS` from the
    decoded first to the decoded last image of the class. Empty for a generator without a latent space."""
    if not isinstance(generator, base.LatentGenerator):
        return []
    rows = []
    for name in _rarest(generator, train):
        images = train.of_class(name)
        mean, _ = generator.posteriors(images.images[[0, -1]], name)
        n = len(ALPHAS)
        path = latent.walk(mean[:1].expand(n, -1), mean[1:].expand(n, -1), torch.tensor(ALPHAS), config.path)
        rows.append((name, pixels.to_uint8(generator.decode(path, name))))
    return rows


def measure_appearance(images: Tensor, real: Tensor) -> Appearance:
    """Compare new images with real ones, uint8 (n, c, h, w) and (m, c, h, w), m >= 1."""
    return _RealImages(real).compare(images)


class _RealImages:
    """The real images and what others are measured against."""

    def __init__(self, images: Tensor) -> None:
        self._images = images.cpu()
        self._sharpness = _sharpness(images)
        self._variety = _mean_of_pairs(pairwise(self._images, self._images))
        self._unit = spacing(self._images)

    def compare(self, images: Tensor) -> Appearance:
        between = pairwise(images, images)
        to_nearest_real = pairwise(images, self._images).amin(1)
        earlier = between.masked_fill(torch.ones_like(between, dtype=torch.bool).triu(), torch.inf)
        return Appearance(
            sharpness=_ratio(_sharpness(images), self._sharpness),
            variety=_ratio(_mean_of_pairs(between), self._variety),
            novelty=_ratio(_mean(to_nearest_real), self._unit),
            distinct=_mean((earlier >= _SAME * self._unit).all(1)) if self._unit else None,
        )


def _mean(values: Tensor) -> float | None:
    return float(values.double().mean()) if len(values) else None


def _mean_of_pairs(distances: Tensor) -> float | None:
    n = len(distances)
    return float(distances.sum()) / (n * (n - 1)) if n > 1 else None


def _sharpness(images: Tensor) -> float | None:
    return _mean(sharpness(images.cpu()))


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None
