"""Between uint8 pixels and float32 in [0, 1], and computing that repeats to the last bit."""

import contextlib
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from synaug_core.config.generator import Mirroring

__all__ = ["ImagePool", "deterministic_kernels", "draw_mirrors", "in_blocks", "in_chunks", "to_float", "to_uint8"]

_CHUNK_ON_CPU, _CHUNK_ON_GPU = 32, 256
"""Rows computed at once: on a CPU few enough to stay in its caches (measured), on a GPU enough to fill it."""


def to_float(images: Tensor) -> Tensor:
    """uint8 (n, c, h, w) to float32 in [0, 1], laid out with channels last, which CPU convolutions prefer."""
    return images.to(torch.float32, memory_format=torch.channels_last).mul_(1 / 255)


def to_uint8(images: Tensor) -> Tensor:
    """float32 in [0, 1] to uint8, rounded, contiguous, on the CPU."""
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8).contiguous().cpu()


def in_chunks(rows: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """`compute` on a fixed number of rows at a time, the last chunk filled up with zeros, concatenated.

    Kernels may differ with the batch size; with one size only, what a row gives does not depend on how many
    there are.
    """
    return torch.cat(list(_compute_chunks(rows, compute, _chunk_size(rows.device))))


def _compute_chunks(rows: Tensor, compute: Callable[[Tensor], Tensor], size: int) -> Iterator[Tensor]:
    for chunk in torch.split(rows, size):
        missing = size - len(chunk)
        filled = F.pad(chunk, [0, 0] * (rows.ndim - 1) + [0, missing]) if missing else chunk
        yield compute(filled)[: len(chunk)]


def in_blocks(n: int, draw: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
    """`draw` of the positions 0 to n - 1, int64, a chunk of the device at a time, concatenated: so that of many large
    images only few are floats at once."""
    return torch.cat([draw(rows) for rows in torch.split(torch.arange(n), _chunk_size(device))])


def _chunk_size(device: torch.device) -> int:
    return _CHUNK_ON_CPU if device.type == "cpu" else _CHUNK_ON_GPU


@contextlib.contextmanager
def deterministic_kernels(device: torch.device) -> Iterator[None]:
    """On a GPU: deterministic convolutions, chosen without a timing, and without TF32. On a CPU: nothing to do."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


class ImagePool:
    """The training images of a fit on the device, uint8, from which batches are taken.

    Args:
        images: uint8 (n, channels, size, size).
        device: where the batches are computed.
        augment: how they will be mirrored; for `all` their transposes are held too.
    """

    def __init__(self, images: Tensor, device: torch.device, augment: Mirroring = "both") -> None:
        pixels = images.permute(0, 2, 3, 1)
        self._transposes_from = len(images) if augment == "all" else 0
        if augment == "all":
            pixels = torch.cat([pixels, pixels.transpose(1, 2)])
        self._pixels = pixels.contiguous().to(device)

    @property
    def device(self) -> torch.device:
        """The device that holds the images."""
        return self._pixels.device

    def batch(self, rows: Tensor, mirrored: Tensor | None) -> Tensor:
        """Float32 in [0, 1]: (*rows.shape, channels, size, size), channels last in memory.

        Args:
            rows: positions of images, int64, any shape.
            mirrored: how each is mirrored (see `draw_mirrors`), the same shape; None: none is.
        """
        if self._transposes_from and mirrored is not None:
            rows = rows + self._transposes_from * (mirrored >> 2).to(rows.dtype)
        images = self._pixels[rows].to(torch.float32).mul_(1 / 255).movedim(-1, -3)
        if mirrored is None:
            return images
        codes = mirrored[..., None, None, None]
        images = torch.where((codes & 1).bool(), images.flip(-1), images)
        return torch.where((codes & 2).bool(), images.flip(-2), images)


def draw_mirrors(shape: tuple[int, ...], augment: Mirroring, stream: torch.Generator) -> Tensor | None:
    """How images are mirrored, uint8 of this shape: 0 not at all, 1 left to right, 2 upside down, 3 both ways, and from
    4 on the same of the transposed image, which makes quarter turns of them; each equally often (`mirror`: 0 and 1,
    `both`: 0 to 3, `all`: 0 to 7). None: none is, and nothing was drawn."""
    if augment == "none":
        return None
    ways = {"both": 4, "all": 8}.get(augment, 2)
    return (ways - 1 - (torch.rand(shape, generator=stream) * ways).floor()).to(torch.uint8)
