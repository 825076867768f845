"""Between two training images of one class (De La Fuente et al., arXiv 2409.10286)."""

from __future__ import annotations

import torch

from synaug_core.config import SynthesisConfig
from synaug_core.generators import randoms
from synaug_core.generators.pixels import to_uint8
from synaug_core.seeds import derive
from synaug_core.synthesis import detail
from synaug_core.synthesis.latent import alphas, ends, nearest, partners, walk
from synaug_core.synthesis.made import Made, Source

__all__ = ["interpolate"]


def interpolate(source: Source, n: int, config: SynthesisConfig, *, seed: int) -> Made:
    """Decode points between the latent vectors of two different images, z = (1 - a) z1 + a z2.

    The first end goes through all images in a random order before any comes again; the second is any other
    one, or one of its nearest in latent space (as in DeepSMOTE, arXiv 2105.02340). With `ends: sample`, each
    new image draws its own sample of both posteriors. A class of one image has it at both ends.

    With `detail`, what the decoder loses of a real end is added to the decoded image (see `detail.restore`).
    An end's loss is x - dec(z_end) with the very z_end that the way begins or stops at, its posterior's mean or
    the sample drawn: so at a = 0, and with `residual` at a = 1, the image is the real one under either choice of
    `ends`; samples make the images between differ more.

    Raises:
        ConfigError: the generator has no latent space.
    """
    encoder, images, class_name = source.latent("interpolate"), source.images, source.class_name
    mean, log_variance = encoder.encode(images.images, class_name)
    near = nearest(mean, config.neighbours).cpu() if config.pairing == "neighbours" and len(images) > 1 else None
    first = randoms.cycle(n, len(images), derive(seed, "first"))
    second = partners(first, len(images), near, derive(seed, "second"))
    alpha = alphas(n, config.alpha, config.alpha_mode, seed)
    start = ends(mean[first], log_variance[first], config.ends, derive(seed, "start"))
    end = ends(mean[second], log_variance[second], config.ends, derive(seed, "end"))
    made = encoder.decode(walk(start, end, alpha, config.path), class_name)
    told = {}
    if config.detail != "none":
        far = detail.from_second(alpha, config.detail)
        real = images.images[torch.where(far, second, first)]
        decoded = encoder.decode(torch.where(far[:, None].to(start.device), end, start), class_name)
        made, told = detail.restore(made, real, decoded), {"detail": config.detail}
    pairs = zip(first.tolist(), second.tolist(), alpha.tolist(), strict=True)
    provenance = [{"parents": [images.ids[i], images.ids[j]], "alpha": a, **told} for i, j, a in pairs]
    return Made(to_uint8(made), provenance)
