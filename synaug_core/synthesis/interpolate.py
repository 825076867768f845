"""Between two training images of one class (De La Fuente et al., arXiv 2409.10286)."""

from typing import Any

import torch
from torch import Tensor

from synaug_core.config import SynthesisConfig
from synaug_core.config.synthesis import KeptDetail
from synaug_core.generators import randoms
from synaug_core.generators.pixels import in_blocks, to_float, to_uint8
from synaug_core.seeds import derive
from synaug_core.synthesis import latent, strategy

__all__ = ["interpolate", "restore_detail", "takes_second_detail"]


def interpolate(source: strategy.Source, n: int, config: SynthesisConfig, *, seed: int) -> strategy.NewImages:
    """Decode points between the latent vectors of two different images, z = (1 - a) z1 + a z2.

    The first end goes through all images in a random order before any comes again; the second is any other
    one, or one of its nearest in latent space (as in DeepSMOTE, arXiv 2105.02340). With `ends: sample`, each
    new image draws its own sample of both posteriors. A class of one image has it at both ends.

    With `detail`, what the decoder loses of a real end is added to the decoded image (see `restore_detail`). Of a
    generator that learns smaller images that is all the detail of the stored ones: the image is lifted.
    An end's loss is x - dec(z_end) with the very z_end that the way begins or stops at, its posterior's mean or
    the sample drawn: so at a = 0, and with `residual` at a = 1, the image is the real one under either choice of
    `ends`; samples make the images between differ more.

    Raises:
        ConfigError: the generator has no latent space.
    """
    generator, images, class_name = source.latent("interpolate"), source.images, source.class_name
    mean, log_variance = generator.posteriors(images.images, class_name)
    neighbours = None
    if config.pairing == "neighbours" and len(images) > 1:
        neighbours = latent.find_nearest(mean, config.neighbours).cpu()
    first = randoms.cycle(n, len(images), derive(seed, "first"))
    second = latent.partners(first, len(images), neighbours, derive(seed, "second"))
    alpha = latent.alphas(n, config.alpha, config.alpha_mode, seed)
    start = latent.ends(mean[first], log_variance[first], config.ends, derive(seed, "start"))
    end = latent.ends(mean[second], log_variance[second], config.ends, derive(seed, "end"))
    z = latent.walk(start, end, alpha, config.path)
    detail = source.kept_detail(config)
    from_second = takes_second_detail(alpha, detail)
    nearer = torch.where(from_second, second, first)
    nearer_end = torch.where(from_second[:, None].to(z.device), end, start)

    def draw(rows: Tensor) -> Tensor:
        pixels = generator.decode(z[rows], class_name)
        if detail != "none":
            decoded = generator.decode(nearer_end[rows], class_name)
            pixels = restore_detail(pixels, images.images[nearer[rows]], decoded)
        return to_uint8(pixels)

    origin: dict[str, Any] = {} if detail == "none" else {"detail": detail}
    pairs = zip(first.tolist(), second.tolist(), alpha.tolist(), strict=True)
    provenance = [{"parents": [images.ids[i], images.ids[j]], "alpha": a, **origin} for i, j, a in pairs]
    return strategy.NewImages(in_blocks(n, draw, z.device), provenance)


def takes_second_detail(alpha: Tensor, form: KeptDetail) -> Tensor:
    """Whose detail an image at share `alpha` (n,) of the way gets: bool (n,), True for the second end.

    `change` takes the first end's everywhere, so that x' = x1 + (dec(z) - dec(z1)): a real image and the decoded
    change. `residual` takes the nearer end's: the first one's for a < 0.5, from there on the second one's.
    """
    return alpha >= 0.5 if form == "residual" else torch.zeros_like(alpha, dtype=torch.bool)


def restore_detail(decoded: Tensor, real: Tensor, decoded_real: Tensor) -> Tensor:
    """The image x' = clip(dec(z) + x - dec(z_x)), float32 in [0, 1].

    Where dec(z) and dec(z_x) are equal to the last bit, that is x, up to rounding far below one of 255 levels.

    Args:
        decoded: dec(z), float32 (n, c, h, w) in [0, 1].
        real: the real image x of each row, uint8, same shape.
        decoded_real: dec(z_x), what the decoder makes of it, float32.
    """
    return decoded.add(to_float(real.to(decoded.device))).sub_(decoded_real).clamp_(0, 1)
