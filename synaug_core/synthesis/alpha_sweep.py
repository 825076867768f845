"""What the place between two ends, and the fineness of a grid of places, do to the images that are made."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from synaug_core.config import SynthesisConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.base import Generator, LatentGenerator
from synaug_core.generators.pixels import to_float
from synaug_core.quality.distances import pairwise, spacing
from synaug_core.seeds import derive
from synaug_core.synthesis.interpolate import interpolate
from synaug_core.synthesis.made import Source
from synaug_core.synthesis.walks import ALPHAS

__all__ = ["GRIDS", "MEASURES", "AlphaSweep", "Look", "alpha_sweep", "look"]

GRIDS = (2, 3, 5, 9, 17)
"""Numbers of values of a, evenly from 0 to 1."""
MEASURES = ("sharpness", "variety", "novelty", "distinct")
_MOST_CLASSES = 12
_MOST_REALS = 200
"""Training images of a class that are used."""
_MADE = 64
"""Images made for each figure."""
_SAME = 0.05
"""Images nearer to each other than this share of the reals' typical distance count as one."""


@dataclass(frozen=True)
class Look:
    """How made images look beside the real ones of their class; None where that is undefined.

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
    """One class's figures, and a walk to look at.

    Attributes:
        class_name: the class.
        images: real images that the figures rest on.
        made: images made for each figure.
        by_alpha: a single value of a -> the look of images made there.
        by_grid: number of values, evenly from 0 to 1 -> the look of as many images made on that grid.
        uniform: the look of images with a drawn from [0, 1]: a grid without end.
        ends: the two real images of the walk, uint8 (2, c, h, w).
        walk: what is made between them, uint8 (len(by_alpha), c, h, w).
    """

    class_name: str
    images: int
    made: int
    by_alpha: dict[float, Look]
    by_grid: dict[int, Look]
    uniform: Look
    ends: Tensor = field(repr=False)
    walk: Tensor = field(repr=False)

    def metrics(self, label: str) -> dict[str, float]:
        """Every defined figure under a name such as `alpha/at-0.5/sharpness/label` or `alpha/grid-5/distinct/label`."""
        looks = {f"at-{a:g}": one for a, one in self.by_alpha.items()}
        looks |= {f"grid-{k}": one for k, one in self.by_grid.items()} | {"uniform": self.uniform}
        values = {f"alpha/{name}/{m}/{label}": getattr(one, m) for name, one in looks.items() for m in MEASURES}
        return {name: value for name, value in values.items() if value is not None}


def alpha_sweep(generator: Generator, train: ImageSet, config: SynthesisConfig, *, seed: int) -> list[AlphaSweep]:
    """Interpolate at each of `ALPHAS` and on each of `GRIDS`, and look at what comes out.

    All images of a class come from the same pairs; only a differs. Pairing, ends, path and detail are the
    configuration's. For the generator's first twelve classes; those with fewer than two images are left out.

    Args:
        generator: fitted. Without a latent space nothing is swept.
        train: the training images.
        config: how to interpolate; its own `alpha` is not used.
        seed: what is drawn depends on this and the class's name.
    """
    if not isinstance(generator, LatentGenerator):
        return []
    found = []
    for name in generator.classes[:_MOST_CLASSES]:
        own = train.of_class(name)
        own = own.take(range(min(len(own), _MOST_REALS)))
        if len(own) >= 2:
            found.append(_sweep(Source(name, own, generator), config, derive(seed, "alpha sweep", name)))
    return found


def _sweep(source: Source, config: SynthesisConfig, seed: int) -> AlphaSweep:
    reals = _Reals(source.images.images)

    def made(values: tuple[float, ...], mode: str = "grid") -> Tensor:
        chosen = config.model_copy(update={"alpha": values, "alpha_mode": mode})
        return interpolate(source, _MADE, chosen, seed=seed).images

    at = {a: made((a,)) for a in ALPHAS}
    first = interpolate(source, 1, config, seed=seed).provenance[0]["parents"]
    rows = [source.images.ids.index(parent) for parent in first]
    return AlphaSweep(
        class_name=source.class_name,
        images=len(source.images),
        made=_MADE,
        by_alpha={a: reals.look(images) for a, images in at.items()},
        by_grid={k: reals.look(made(tuple(i / (k - 1) for i in range(k)))) for k in GRIDS},
        uniform=reals.look(made((0.0, 1.0), "uniform")),
        ends=source.images.images[rows].cpu(),
        walk=torch.cat([images[:1] for images in at.values()]),
    )


def look(made: Tensor, real: Tensor) -> Look:
    """Compare made images with real ones, uint8 (n, c, h, w) and (m, c, h, w), m >= 1."""
    return _Reals(real).look(made)


class _Reals:
    """The real images and what others are measured against."""

    def __init__(self, images: Tensor) -> None:
        self._images = images.cpu()
        self._sharpness = _sharpness(images)
        self._variety = _mean_of_pairs(pairwise(self._images, self._images))
        self._unit = spacing(self._images)

    def look(self, made: Tensor) -> Look:
        between = pairwise(made, made)
        copied = pairwise(made, self._images).amin(1)
        earlier = between.masked_fill(torch.ones_like(between, dtype=torch.bool).triu(), torch.inf)
        return Look(
            sharpness=_ratio(_sharpness(made), self._sharpness),
            variety=_ratio(_mean_of_pairs(between), self._variety),
            novelty=_ratio(_mean(copied), self._unit),
            distinct=_mean((earlier >= _SAME * self._unit).all(1)) if self._unit else None,
        )


def _mean(values: Tensor) -> float | None:
    return float(values.double().mean()) if len(values) else None


def _mean_of_pairs(distances: Tensor) -> float | None:
    n = len(distances)
    return float(distances.sum()) / (n * (n - 1)) if n > 1 else None


def _sharpness(images: Tensor) -> float | None:
    if not len(images):
        return None
    grey = to_float(images.cpu()).mean(1)
    centre = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return float((around - 4 * centre).abs().mean())


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None
