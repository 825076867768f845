"""Mixtures of the pixels of two images: the control that says what a decoder adds to averaging."""

import torch
from torch import Tensor

from synaug_core.config import SynthesisConfig
from synaug_core.generators import randoms
from synaug_core.seeds import derive
from synaug_core.synthesis import latent, strategy

__all__ = ["mixup"]

_ROWS = 1024
"""Images mixed at once, so that many large ones need no second copy of themselves as floats."""


def mixup(source: strategy.Source, n: int, config: SynthesisConfig, *, seed: int) -> strategy.NewImages:
    """Mixtures x' = (1 - a) x1 + a x2 with a ~ Beta(mixup_alpha, mixup_alpha) (Zhang et al., arXiv 1710.09412).

    Unlike there, both images are of one class, so that the label stays what it is. The first goes through all
    images in a random order before any comes again, the second is any other one; a class of one image has it twice.
    """
    images = source.images
    first = randoms.cycle(n, len(images), derive(seed, "first"))
    second = latent.partners(first, len(images), None, derive(seed, "second"))
    alpha = _beta(randoms.uniform(n, 1, derive(seed, "alpha"))[:, 0], config.mixup_alpha)
    mixtures = images.images.new_empty((n, *images.images.shape[1:]), device="cpu")
    for rows in torch.split(torch.arange(n), _ROWS):
        mixtures[rows] = _mix(images.images[first[rows]], images.images[second[rows]], alpha[rows])
    pairs = zip(first.tolist(), second.tolist(), alpha.tolist(), strict=True)
    return strategy.NewImages(mixtures, [{"parents": [images.ids[i], images.ids[j]], "alpha": a} for i, j, a in pairs])


def _mix(first: Tensor, second: Tensor, alpha: Tensor) -> Tensor:
    """uint8 images mixed by `alpha` (n,), rounded."""
    start, end = first.cpu().double(), second.cpu().double()
    return torch.lerp(start, end, alpha[:, None, None, None]).round_().clamp_(0, 255).to(torch.uint8)


def _beta(uniform: Tensor, shape: float) -> Tensor:
    """Draws of Beta(shape, shape), float64, of uniform ones through the inverse distribution function.

    One uniform number gives one draw, so the first draws do not depend on how many there are.
    """
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(shape, shape, uniform.numpy())).clamp_(0, 1)
