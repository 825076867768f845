"""A convolutional autoencoder whose latent is a small map: where something is in the image stays where it is."""

import torch
from torch import Tensor, nn

from synaug_core.nets.blocks import Down, Up, group_norm, logit, widths

__all__ = ["SpatialAutoencoderNet"]

_LOG_VARIANCE = (-12.0, 4.0)
"""Bounds of a posterior's log variance: outside, exp() leaves what float32 can train with."""


class _Residual(nn.Module):
    """x + convolutions(x), which starts as x: (n, channels, s, s) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        output = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(output.weight)
        self.body = nn.Sequential(
            group_norm(channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU(), output
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        added: Tensor = x + self.body(x)
        return added


class SpatialAutoencoderNet(nn.Module):
    """Images to the mean and log variance of a latent map and back (as in Rombach et al., arXiv 2112.10752, section
    3.1: a small KL term holds the latent near N(0, I), a patch of the image lies under each of its pixels).

    Latent maps are handed over flattened, float32 (n, latent_dim), latent_dim = latent_channels * side ** 2. Group
    normalisation treats every image by itself.

    Args:
        channels: of the images, 1 or 3.
        size: their side in pixels; any, sides are halved rounding up.
        width: channels after the first halving; they double with each, up to four times.
        latent_channels: of the map.
        halvings: number of times the side is halved.
    """

    def __init__(self, channels: int, size: int, width: int, latent_channels: int, halvings: int) -> None:
        super().__init__()
        sizes = [size]
        for _ in range(halvings):
            sizes.append((sizes[-1] + 1) // 2)
        wide = widths(width, halvings)
        self.latent_channels, self.side = latent_channels, sizes[-1]
        self.latent_dim = latent_channels * self.side**2
        downs = zip((channels, *wide), wide, (5, *(3 for _ in wide)), strict=False)
        self.encoder = nn.Sequential(
            *(Down(a, b, kernel) for a, b, kernel in downs),
            _Residual(wide[-1]),
            nn.Conv2d(wide[-1], 2 * latent_channels, 1),
        )
        back, sides = wide[::-1], sizes[::-1]
        ups = zip(back, (*back[1:], channels), sides[1:], strict=True)
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, back[0], 3, padding=1),
            _Residual(back[0]),
            group_norm(back[0]),
            nn.SiLU(),
            *(Up(a, b, side, to_image=i == halvings - 1) for i, (a, b, side) in enumerate(ups)),
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Float32 images (n, channels, size, size) in [0, 1] to posterior mean and log variance (n, latent_dim)."""
        mean, log_variance = self.encoder(images * 2 - 1).chunk(2, dim=1)
        return mean.flatten(1), log_variance.flatten(1).clamp(*_LOG_VARIANCE)

    def decode(self, z: Tensor) -> Tensor:
        """Latent vectors (n, latent_dim) to images float32 (n, channels, size, size) in [0, 1]."""
        latent = z.view(len(z), self.latent_channels, self.side, self.side)
        logits: Tensor = self.decoder(latent.contiguous(memory_format=torch.channels_last))
        return torch.sigmoid(logits)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstructions, posterior means and log variances; `noise` is standard normal, (n, latent_dim)."""
        mean, log_variance = self.encode(images)
        return self.decode(mean + torch.exp(0.5 * log_variance) * noise), mean, log_variance

    @torch.no_grad()
    def start_at(self, level: Tensor) -> None:
        """Let every decoded image start near one colour, float32 (channels,) in [0, 1]."""
        output = self.decoder[-1]
        if isinstance(output, Up) and output.grow.bias is not None:
            output.grow.bias.copy_(logit(level))
