"""What was found about a set of synthetic images: figures for a store, a table for people."""

import math
from collections.abc import Iterator
from typing import Annotated

from pydantic import ConfigDict, Field

from synaug_core import frozen, names
from synaug_core.quality.usefulness import Usefulness

__all__ = ["COUNTS", "ClassQuality", "Figures", "Overall", "QualityReport"]

COUNTS = ("n", "matched", "kid_null_n", "k", "training", "judged")
"""Fields of `Figures` that say from how many images the others come."""


class Figures(frozen.Frozen):
    """Quality of some images of one class. None: undefined, as there are too few images or no judges or generator."""

    n: int
    """Images looked at."""
    matched: int = 0
    """Images of each kind in the comparisons with real images, drawn at random where there are more."""
    kid: float | None = None
    """Kernel distance of features to held-out real images, unbiased; see `measures.kid`."""
    kid_null_n: int = 0
    """Images on each side where real ones are compared with real ones: half of the held-out ones at most."""
    kid_null_mean: float | None = None
    kid_null_std: float | None = None
    kid_z: float | None = None
    """Standard deviations of the null that `kid` lies above its mean."""
    kid_null_above: float | None = None
    """Share of the real-to-real distances that are as large."""
    k: int = 0
    """Neighbours of density and coverage."""
    density: float | None = None
    coverage: float | None = None
    """Share of the held-out real images near which an image lies; it depends on `matched`."""
    vendi: float | None = None
    """Vendi score of the features, rbf kernel with the held-out images' median distance as its width."""
    vendi_relative: float | None = None
    """Over the held-out real images' score."""
    training: int = 0
    """Training images that copies are looked for among."""
    nearest_distance: float | None = None
    """Median pixel distance to the nearest training image, over the training images' median spacing."""
    nearest_ratio: float | None = None
    authentic: float | None = None
    copying_z: float | None = None
    """Against held-out real images; below about -2: copies."""
    nearer_than_reconstruction: float | None = None
    """Chance of being nearer to a training image than a reconstruction is; 0.5 is no difference."""
    judged: int = 0
    """Images for which there was a judge who has not seen their parents, and has seen their class."""
    agreement: float | None = None
    """Share of them whose likeliest class is the label."""
    label_probability: float | None = None
    separability: float | None = None
    """Area under the curve of a small classifier that tells the images from real ones (`separability`); of real images:
    what it reaches by chance."""

    def values(self) -> Iterator[tuple[str, float]]:
        """The figures that are defined, without the counts."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name not in COUNTS and value is not None and math.isfinite(value):
                yield name, float(value)


class ClassQuality(frozen.Frozen):
    """Quality of a class's synthetic images, beside that of real images and reconstructions."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    train: int
    held_out: int
    synthetic_count: Annotated[int, Field(alias="made")]
    """Synthetic images there are, looked at or not."""
    synthetic: Figures
    reals: Figures
    """The yardstick. Training images beside held-out ones for distances and variety, held-out ones beside the
    training images for copying, training images for the label."""
    reconstruction: Figures | None = None
    """The control: training images through the generator and back."""

    @property
    def is_separable(self) -> bool:
        """Whether a small classifier tells synthetic from real images better than chance."""
        area, chance = self.synthetic.separability, self.reals.separability
        return area is not None and chance is not None and area > chance


class Overall(frozen.Frozen):
    """Unweighted mean over the classes in which a measure is defined."""

    value: float
    classes: int


class QualityReport(frozen.Frozen):
    """Quality of all classes that have synthetic images."""

    classes: dict[str, ClassQuality]
    all_classes: tuple[str, ...]
    """Of the data set, in its order."""
    judges_without_class: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """By class, the judges that have seen none of its images."""
    usefulness: Usefulness | None = None
    space: str = "a classifier trained on the real images"
    """Of whose features KID, density, coverage and Vendi score are; reports of earlier versions do not say it."""

    def overall(self, kind: str = "synthetic") -> dict[str, Overall]:
        """Average over the classes the measures of `synthetic`, `reals` or `reconstruction`."""
        values: dict[str, list[float]] = {}
        for quality in self.classes.values():
            figures: Figures | None = getattr(quality, kind)
            for name, value in figures.values() if figures is not None else ():
                values.setdefault(name, []).append(value)
        return {name: Overall(value=sum(v) / len(v), classes=len(v)) for name, v in values.items()}

    def metrics(self) -> dict[str, float]:
        """Finite values by name: `quality/<figure>/<class slug>` and, over the classes, `quality/<figure>`.

        Those of real images in the same place are `quality/reals/...`, of reconstructions
        `quality/reconstruction/...`; counts are `quality/images/<class slug>` and `.../matched/<class slug>`.
        """
        short = names.slugs(self.all_classes)
        metrics: dict[str, float] = {}
        for kind, prefix in (
            ("synthetic", "quality"),
            ("reals", "quality/reals"),
            ("reconstruction", "quality/reconstruction"),
        ):
            metrics |= {f"{prefix}/{name}": o.value for name, o in self.overall(kind).items()}
            for name, quality in self.classes.items():
                figures: Figures | None = getattr(quality, kind)
                if figures is not None:
                    metrics |= {f"{prefix}/{figure}/{short[name]}": value for figure, value in figures.values()}
                    metrics[f"{prefix}/images/{short[name]}"] = float(figures.n)
                    metrics[f"{prefix}/matched/{short[name]}"] = float(figures.matched)
        return metrics | self._of_usefulness(short)

    def table(self) -> list[dict[str, str | int | float | None]]:
        """Rows for people: for each class its synthetic images, the reconstructions and the real ones."""
        rows: list[dict[str, str | int | float | None]] = []
        for name, quality in self.classes.items():
            kinds = {"synthetic": quality.synthetic, "reconstruction": quality.reconstruction, "real": quality.reals}
            for kind, figures in kinds.items():
                if figures is None:
                    continue
                rows.append({"class": name, "images": kind, **figures.model_dump()})
        return rows

    def _of_usefulness(self, short: dict[str, str]) -> dict[str, float]:
        usefulness = self.usefulness
        if usefulness is None:
            return {}
        prefix = "quality/usefulness"
        by_name = {"real": usefulness.real, "synthetic": usefulness.synthetic, "difference": usefulness.difference}
        metrics = {f"{prefix}/{name}": value for name, value in by_name.items() if value is not None}
        for name in usefulness.real_recall:
            metrics[f"{prefix}/real_recall/{short[name]}"] = usefulness.real_recall[name]
            metrics[f"{prefix}/synthetic_recall/{short[name]}"] = usefulness.synthetic_recall[name]
        return metrics
