"""Variation of other classes: what tells two images of a frequent class apart, done to an image of a rare one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from synaug_core import errors, seeds
from synaug_core.config import SynthesisConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators import randoms
from synaug_core.generators.base import LatentGenerator
from synaug_core.generators.pixels import in_blocks, to_uint8
from synaug_core.synthesis import interpolate, latent, strategy
from synaug_core.synthesis.plan import frequent_classes
from synaug_core.synthesis.targeted.ascent import median_distance, move

__all__ = ["transfer", "transfer_random"]


def transfer(source: strategy.Source, n: int, config: SynthesisConfig, *, seed: int) -> strategy.NewImages:
    """Real images with the change from one image of a frequent class to another: x + dec(z + s (z_a - z_b)) - dec(z).

    x goes through all images of the class in a random order before any comes again. a and b are two images of one
    frequent class (see `plan.frequent_classes`; each as often as any other), b any other than a or, with
    `pairing: neighbours`, one of its nearest. s is drawn as `config.alpha` says. What a class of few images does not
    show of itself, such as other poses, light or sizes, its neighbours may (delta-encoder, arXiv 1806.04734; DAGAN,
    arXiv 1711.04340). With `detail: none` the image is the decoded one.

    Provenance has the parent, the two `donors`, `alpha` (s) and `step_length` in units of the median latent distance
    between images of the class.

    Raises:
        ConfigError: the generator has no latent space, or not one for all classes.
        DataError: no other class has two images.
    """
    return _changed(source, n, config, seed, "transfer")


def transfer_random(source: strategy.Source, n: int, config: SynthesisConfig, *, seed: int) -> strategy.NewImages:
    """The control of `transfer`: for each image the same start and step length, in a random direction. No image of
    another class has a part in it but for the length. Raises as that does."""
    return _changed(source, n, config, seed, "transfer-random")


@dataclass(frozen=True, eq=False)
class _Variation:
    """Images of frequent classes in latent space.

    Attributes:
        ids: of the images, class after class.
        latents: float32 (n, latent).
        starts: int64 (classes,), the position of each class's first image.
        counts: int64 (classes,).
        neighbours: of each class int64 (count, k), positions within it; None: any two images are paired.
    """

    ids: tuple[str, ...]
    latents: Tensor
    starts: Tensor
    counts: Tensor
    neighbours: Sequence[Tensor] | None

    @classmethod
    def from_images(
        cls, generator: LatentGenerator, donors: ImageSet, names: Sequence[str], config: SynthesisConfig
    ) -> "_Variation":
        parts = [donors.of_class(name) for name in names]
        latents = [generator.posteriors(part.images, name)[0] for part, name in zip(parts, names, strict=True)]
        counts = torch.tensor([len(part) for part in parts])
        nearest = None
        if config.pairing == "neighbours":
            nearest = [latent.find_nearest(mean, config.neighbours).cpu() for mean in latents]
        ids = tuple(image for part in parts for image in part.ids)
        return cls(ids, torch.cat(latents), counts.cumsum(0) - counts, counts, nearest)

    def pairs(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Positions of `n` pairs of different images of one class, int64 (n,) each."""
        share = randoms.uniform(n, 3, seeds.derive(seed, "donors"))
        classes = (share[:, 0] * len(self.counts)).long()
        counts = self.counts[classes]
        first = (share[:, 1] * counts).long()
        second = (first + 1 + (share[:, 2] * (counts - 1)).long()) % counts
        for number, table in enumerate(self.neighbours or ()):
            rows = classes == number
            second[rows] = table[first[rows], (share[rows, 2] * table.shape[1]).long()]
        return self.starts[classes] + first, self.starts[classes] + second


def _changed(
    source: strategy.Source,
    n: int,
    config: SynthesisConfig,
    seed: int,
    kind: Literal["transfer", "transfer-random"],
) -> strategy.NewImages:
    generator, images, name = source.latent(kind), source.images, source.class_name
    if not generator.joint:
        raise errors.ConfigError(
            f"synthesis.strategy: {kind} needs one latent space for all classes; use a generator of kind autoencoder"
        )
    counts = source.other_classes.counts() | {name: len(images)}
    variation = _Variation.from_images(generator, source.other_classes, frequent_classes(name, counts), config)
    mean, log_variance = generator.posteriors(images.images, name)
    first = randoms.cycle(n, len(images), seeds.derive(seed, "first"))
    start = latent.ends(mean[first], log_variance[first], config.ends, seeds.derive(seed, "start"))
    a, b = variation.pairs(n, seed)
    alpha = latent.alphas(n, config.alpha, config.alpha_mode, seed)
    step = alpha.to(start)[:, None] * (variation.latents[a] - variation.latents[b])
    length = step.norm(dim=1)
    if kind == "transfer":
        end = start + step
    else:
        direction = randoms.normal(n, start.shape[1], seeds.derive(seed, "direction")).to(start.device)
        end = move(start, direction, length)
    detail = config.detail != "none"

    def draw(rows: Tensor) -> Tensor:
        decoded = generator.decode(end[rows], name)
        if detail:
            before = generator.decode(start[rows], name)
            decoded = interpolate.restore_detail(decoded, images.images[first[rows]], before)
        return to_uint8(decoded)

    lengths = (length / median_distance(mean)).tolist()
    origin_of_detail = {"detail": "change"} if detail else {}
    provenance: list[dict[str, Any]] = [
        {"parents": [images.ids[i]], "alpha": share, "step_length": step_length, **origin_of_detail}
        for i, share, step_length in zip(first.tolist(), alpha.tolist(), lengths, strict=True)
    ]
    if kind == "transfer":
        for origin, i, j in zip(provenance, a.tolist(), b.tolist(), strict=True):
            origin["donors"] = [variation.ids[i], variation.ids[j]]
    measures = {"step_length": sum(lengths) / n} if n else {}
    return strategy.NewImages(in_blocks(n, draw, start.device), provenance, measures)
