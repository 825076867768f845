"""A convolutional variational autoencoder for one class of small images (Kingma and Welling, 2014)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from synaug_core.nets.blocks import Down, ShuffledUp, Up, as_channels_last, halvings, logit, widths

__all__ = ["ConvVAE", "Decoder", "Encoder"]

_LOG_VARIANCE = (-12.0, 6.0)
"""Bounds of a posterior's log variance: outside, exp() leaves what float32 can train with."""


class Encoder(nn.Module):
    """Images float32 (n, channels, size, size) in [0, 1] to the posterior's mean and log variance, each (n, latent)."""

    def __init__(self, channels: int, size: int, width: int, latent_dim: int) -> None:
        super().__init__()
        sizes = halvings(size)
        wide = widths(width, len(sizes) - 1)
        steps = zip((channels, *wide), wide, (5, *(3 for _ in wide)), strict=False)
        self.body = nn.Sequential(*(Down(a, b, kernel) for a, b, kernel in steps))
        self.head = nn.Linear(wide[-1] * sizes[-1] ** 2, 2 * latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        mean, log_variance = self.head(self.body(images * 2 - 1).flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE)


class Decoder(nn.Module):
    """Latent vectors (n, latent) to images float32 (n, channels, size, size) in [0, 1].

    `base` is one learned image under all of them, in logits: it starts as the class's mean image, so that
    the network spends its steps on what differs.
    """

    def __init__(self, channels: int, size: int, width: int, latent_dim: int) -> None:
        super().__init__()
        sizes = halvings(size)[::-1]
        wide = widths(width, len(sizes) - 1)[::-1]
        self.side, self.wide = sizes[0], wide[0]
        self.head = nn.Linear(latent_dim, self.wide * self.side**2)
        self.start = nn.SiLU()
        self.body = nn.Sequential(
            *(
                Up(in_channels, out_channels, side, to_image=i == len(wide) - 1)
                for i, (in_channels, out_channels, side) in enumerate(
                    zip(wide, (*wide[1:], channels), sizes[1:], strict=True)
                )
            )
        )
        self.base = nn.Parameter(torch.zeros(channels, size, size))

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        start = as_channels_last(self.start(self.head(z)), self.wide, self.side)
        logits: Tensor = self.body(start) + self.base
        return torch.sigmoid(logits)

    def for_decoding(self) -> Decoder:
        """A copy that decodes faster and is not trained further; images differ by rounding only."""
        fast = copy.deepcopy(self)
        fast.body = nn.Sequential(*(ShuffledUp(up) for up in fast.body if isinstance(up, Up)))
        return fast.eval().requires_grad_(False)


class ConvVAE(nn.Module):
    """Encoder, decoder and the variance of the Gaussian likelihood, in squared [0, 1] pixel units.

    Args:
        channels: 1 or 3.
        size: side length in pixels, 8 or more; odd ones work.
        width: channels after the first halving; they double with each, up to four times.
        latent_dim: length of a latent vector.
    """

    variance: Tensor

    def __init__(self, channels: int, size: int, width: int, latent_dim: int) -> None:
        super().__init__()
        self.channels, self.size, self.latent_dim = channels, size, latent_dim
        self.encoder = Encoder(channels, size, width, latent_dim)
        self.decoder = Decoder(channels, size, width, latent_dim)
        self.register_buffer("variance", torch.ones(()))

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstructions (n, channels, size, size), posterior means and log variances (n, latent).

        `noise` is a standard normal sample (n, latent), passed in so that the caller owns all randomness.
        """
        mean, log_variance = self.encoder(images)
        return self.decoder(mean + torch.exp(0.5 * log_variance) * noise), mean, log_variance

    @torch.no_grad()
    def start_at(self, mean_image: Tensor) -> None:
        """Let every decoded image start as `mean_image`, float32 (channels, size, size) in [0, 1]."""
        self.decoder.base.copy_(logit(mean_image))
