"""What both sides train on and with; needs nothing but torch, so that it can be imported in both environments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synaug_core.nets import vae

__all__ = ["Workload", "loss", "nets", "pixels"]


@dataclass(frozen=True)
class Workload:
    """Sizes of one comparison. Every class has the same number of images, a multiple of the batch."""

    classes: int
    steps: int
    images_per_class: int = 128
    batch_size: int = 32
    size: int = 32
    channels: int = 3
    width: int = 24
    latent_dim: int = 32
    learning_rate: float = 1e-3
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.images_per_class % self.batch_size or self.steps % (self.images_per_class // self.batch_size):
            raise ValueError("whole batches and whole epochs are needed for the same number of steps on both sides")

    @property
    def epochs(self) -> int:
        """Passes over a class's images."""
        return self.steps * self.batch_size // self.images_per_class


def pixels(work: Workload, number: int) -> Tensor:
    """Images of one class: smooth coloured blobs, uint8 (n, channels, size, size)."""
    random = torch.Generator().manual_seed(number)
    coarse = torch.rand(work.images_per_class, work.channels, 4, 4, generator=random)
    smooth = nn.functional.interpolate(coarse, size=(work.size, work.size), mode="bicubic").clamp(0, 1)
    return (smooth * 255).round().to(torch.uint8)


def nets(work: Workload, number: int) -> tuple[nn.Module, nn.Module]:
    """The untrained encoder and decoder of one class, as synaug builds them."""
    torch.manual_seed(number)
    model = vae.ConvVAE(work.channels, work.size, work.width, work.latent_dim)
    model.start_at(pixels(work, number).float().mean(0) / 255)
    return model.encoder, model.decoder


@torch.no_grad()
def loss(images: Tensor, decoded: Tensor, mean: Tensor, log_variance: Tensor) -> float:
    """Half the squared error of the decoded means plus KL, in nats per image: did both sides learn equally much?"""
    error = 0.5 * (images - decoded).square().flatten(1).sum(1)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
    return float((error + kl).mean())
