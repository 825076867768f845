"""Convolution blocks that halve and double any image size exactly."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Down", "ShuffledUp", "Up", "as_channels_last", "group_norm", "halvings", "logit", "widths"]


def halvings(size: int, smallest: int = 4) -> tuple[int, ...]:
    """The side lengths from `size` down to at most `smallest`, each half of the one before, rounded up.

    A stride-2 convolution goes down this list; `Up` goes back and crops to each length, so that 30 px
    (30, 15, 8, 4) works as well as 64 px (64, 32, 16, 8, 4).
    """
    sizes = [size]
    while sizes[-1] > smallest:
        sizes.append((sizes[-1] + 1) // 2)
    return tuple(sizes)


def widths(width: int, levels: int, most: int = 4) -> tuple[int, ...]:
    """Channels after each halving: `width`, doubled each time, up to `most` times `width`."""
    return tuple(width * min(2**level, most) for level in range(levels))


def group_norm(channels: int, groups: int = 8) -> nn.GroupNorm:
    """Group normalisation with the largest number of groups up to `groups` that divides `channels`.

    It treats each image by itself, so tiny batches train as they should (Wu and He, 2018).
    """
    return nn.GroupNorm(max(g for g in range(1, min(groups, channels) + 1) if channels % g == 0), channels)


class Down(nn.Sequential):
    """Halve the sides: stride-2 convolution, group norm, SiLU. (n, in, s, s) to (n, out, ceil(s/2), ceil(s/2))."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride=2, padding=kernel // 2),
            group_norm(out_channels),
            nn.SiLU(),
        )


class Up(nn.Module):
    """Double the sides and crop: (n, in, s, s) to (n, out, size, size) with size 2s or 2s - 1.

    A transposed convolution with kernel 4 and stride 2 covers every pixel equally often. The one that
    makes the image has no group norm and no SiLU, and starts as bilinear interpolation of mixed channels, so that
    neighbouring pixels start alike and a short training leaves no checkerboard (compare Aitken et al., 2017).
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, *, to_image: bool = False) -> None:
        super().__init__()
        self.size = size
        self.grow = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)
        self.finish = nn.Identity() if to_image else nn.Sequential(group_norm(out_channels), nn.SiLU())
        if to_image:
            _make_bilinear(self.grow)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        enlarged = self.grow(x)
        if enlarged.shape[-1] != self.size:
            enlarged = enlarged[..., : self.size, : self.size]
        finished: Tensor = self.finish(enlarged)
        return finished


class ShuffledUp(nn.Module):
    """What an `Up` computes, but for rounding, as a 2x2 convolution and a pixel shuffle.

    Without gradients to the weights this is faster on a CPU (decoding 64 px images takes 0.7 to 0.85 of the
    time); to train, both are level. Each output pixel of the transposed convolution sees two by two input
    pixels; the convolution gives all four outputs of such a window, and the outermost line, which sees the
    padding only from outside, is cut off.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, up: Up) -> None:
        super().__init__()
        self.size = up.size
        self.finish = up.finish
        taps = torch.tensor([[2, 0], [3, 1]])  # [place in the window's 2x2 outputs, input pixel] to kernel position
        kernel = up.grow.weight.detach().transpose(0, 1)[:, :, taps][..., taps]  # out, in, place, pixel, place, pixel
        kernel = kernel.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        self.register_buffer("weight", kernel.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", _bias_of(up.grow).repeat_interleave(4))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        windows = F.pixel_shuffle(F.conv2d(x, self.weight, self.bias, padding=1), 2)
        finished: Tensor = self.finish(windows[..., 1 : self.size + 1, 1 : self.size + 1])
        return finished


def as_channels_last(flat: Tensor, channels: int, side: int) -> Tensor:
    """(n, side * side * channels) to (n, channels, side, side), laid out with channels last, without a copy."""
    return flat.view(len(flat), side, side, channels).permute(0, 3, 1, 2)


def logit(share: Tensor) -> Tensor:
    """The inverse of the sigmoid, kept within what a network can leave again: shares are held in [0.02, 0.98]."""
    return torch.logit(share.clamp(0.02, 0.98))


@torch.no_grad()
def _make_bilinear(grow: nn.ConvTranspose2d) -> None:
    """Give each pair of channels one random weight, spread over the kernel as bilinear interpolation does."""
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    kernel = torch.empty(grow.in_channels, grow.out_channels, 1, 1)
    nn.init.normal_(kernel, std=grow.in_channels**-0.5)
    grow.weight.copy_(kernel * torch.outer(line, line))


def _bias_of(grow: nn.ConvTranspose2d) -> Tensor:
    return torch.zeros(grow.out_channels) if grow.bias is None else grow.bias.detach()
