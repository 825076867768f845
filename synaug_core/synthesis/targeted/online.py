"""Targeted synthesis inside the training loop, against the classifier as it is at that step (TSynD)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from synaug_core import code_reach, digests, errors
from synaug_core.classify.model import Classifier, evaluating
from synaug_core.config import OnlineConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.base import Generator, LatentGenerator
from synaug_core.generators.pixels import to_float
from synaug_core.synthesis.targeted.ascent import ascend, median_distance, move
from synaug_core.synthesis.targeted.uncertainty import dropout_posterior, uncertainty_function

__all__ = ["OnlineSynthesis"]

Decode = Callable[[Tensor], Tensor]


class OnlineSynthesis:
    """Makes images from the real ones of each batch (see `classify.online.Online`).

    The latents of all real training images are computed once, here. At each call the dropout masks are drawn anew
    and stay the same over that ascent. Images are decoded by the frozen generators, and with `config.detail` have what
    these lose of the real image given back, in the ascent too.

    Args:
        generators: fitted, with a latent space, between them for every class that has images.
        train: the real training images; the training's images must begin with these.
        config: what is made.
        batch_size: images of one batch; `config.share` of them are started from.
        device: where the classifier trains; the generators have to be there.

    Raises:
        ConfigError: a generator without a latent space, or a class without a generator.
    """

    def __init__(
        self,
        generators: Sequence[Generator],
        train: ImageSet,
        config: OnlineConfig,
        *,
        batch_size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._config = config
        self._starts = max(1, round(config.share * batch_size))
        self._labels = train.labels.to(device)
        self._names = train.classes
        self._generators = _by_class(generators, train)
        distinct = list({id(g): g for g in self._generators.values()}.values())
        self._joint = distinct[0] if len(distinct) == 1 and distinct[0].joint else None
        latents: Tensor | None = None
        self._unit = torch.ones(len(train), device=device)
        for name, generator in self._generators.items():
            rows = train.labels == train.classes.index(name)
            mean = generator.posteriors(train.images[rows], name)[0].to(device)
            latents = mean.new_empty(len(train), mean.shape[1]) if latents is None else latents
            latents[rows.to(device)] = mean
            self._unit[rows.to(device)] = median_distance(mean)
        if latents is None:
            raise errors.ConfigError("online synthesis needs training images")
        self._latents = latents
        keeps_detail = config.keeps_detail(enlarges=any(generator.enlarges for generator in distinct))
        self._real_images = train.images.to(device) if keeps_detail else None
        self._identity = digests.of_value(
            {
                "config": config.model_dump(mode="json"),
                "images": self._starts,
                "latents": digests.of_bytes(latents.cpu().numpy().tobytes()),
                "decoded": digests.of_bytes(
                    self._decoder(self._labels[:1])(latents[:1]).detach().cpu().numpy().tobytes()
                ),
                "code": code_reach.module_version(__name__),
            }
        )

    @property
    def config(self) -> OnlineConfig:
        """From which step on, how often, and the weight."""
        return self._config

    @property
    def identity(self) -> str:
        """A digest of the settings, the latents and the code."""
        return self._identity

    def make(self, model: Classifier, positions: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `Online.make`. As many images as `config.share` says; of a batch's real images the first ones.

        Raises:
            ConfigError: the classifier has no dropout, and the strategy is not `reconstruct`.
        """
        if model.dropout.rate == 0 and self._config.strategy != "reconstruct":
            raise errors.ConfigError(
                "online synthesis: the classifier has no dropout, so its posterior would have no spread"
            )
        rows = self._real(positions)
        z, labels = self._latents[rows], self._labels[rows]
        decode = self._decoder(labels)
        if self._real_images is not None:
            decode = self._with_detail(decode, self._real_images[rows], z)
        if self._config.strategy != "reconstruct":
            with evaluating(model):  # normalisation uses its stored statistics and leaves them as they are
                z = self._moved(model, z, self._unit[rows], decode, stream)
        with torch.no_grad():
            return decode(z), labels

    def _with_detail(self, decode: Decode, real_images: Tensor, start: Tensor) -> Decode:
        """What `decode` gives, plus what it loses of the real images, uint8, whose latents are `start`."""
        with torch.no_grad():
            detail = to_float(real_images) - decode(start)
        return lambda z: (decode(z) + detail).clamp(0, 1)

    def _moved(self, model: Classifier, start: Tensor, unit: Tensor, decode: Decode, stream: torch.Generator) -> Tensor:
        config, uncertainty = self._config, uncertainty_function(self._config.uncertainty)
        posterior = dropout_posterior(model, config.samples, stream)
        ascent = ascend(
            start,
            lambda z: uncertainty(posterior(decode(z))),
            steps=config.steps,
            step_size=config.step_size * unit,
            radius=config.radius * unit,
        )
        if config.strategy == "targeted":
            return ascent.z
        fallback_direction = torch.randn(start.shape, device=start.device, generator=stream)
        return move(start, fallback_direction, ascent.length)

    def _real(self, positions: Tensor) -> Tensor:
        """Positions of the first real images of the batch; where they are too few, others stand in. Fixed shapes, so
        that the device need not be waited for."""
        count = len(self._labels)
        first = positions[(positions >= count).to(torch.int8).argsort(stable=True)[: self._starts]]
        return first % count

    def _decoder(self, labels: Tensor) -> Decode:
        """Latents of images with these labels to images. With one generator for each class its rows have to be
        counted, for which the device is waited for."""
        if self._joint is not None:
            joint, any_class = self._joint, self._joint.classes[0]
            return lambda z: joint.decode_with_gradient(z, any_class)
        present = [name for i, name in enumerate(self._names) if i in set(labels.tolist())]
        rows = [(labels == self._names.index(name)).nonzero().flatten() for name in present]
        back = torch.cat(rows).argsort()
        parts = [(self._generators[name], name, part) for name, part in zip(present, rows, strict=True)]
        return lambda z: torch.cat([g.decode_with_gradient(z[part], name) for g, name, part in parts])[back]


def _by_class(generators: Sequence[Generator], train: ImageSet) -> dict[str, LatentGenerator]:
    """The generator of each class that has images."""
    by_class: dict[str, LatentGenerator] = {}
    for generator in generators:
        if not isinstance(generator, LatentGenerator):
            raise errors.ConfigError(f"online.generator: {generator.kind} has no latent space; use autoencoder or vae")
        by_class |= dict.fromkeys(generator.classes, generator)
    present = [name for name, n in train.counts().items() if n]
    if missing := [name for name in present if name not in by_class]:
        raise errors.ConfigError(f"online.generator: no generator was fitted for class {missing[0]!r}")
    return {name: by_class[name] for name in present}
