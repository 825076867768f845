"""A classifier: pixels in [0, 1] to logits, normalisation inside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

__all__ = ["Classifier", "Dropout", "as_float", "evaluating"]


def as_float(images: Tensor) -> Tensor:
    """uint8 images in 0 to 255 to float32 in [0, 1]; float images unchanged."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards every part is in the mode it was in."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


class Dropout(nn.Module):
    """Dropout whose masks come from the caller's random stream.

    It acts where a stream is given, in training and in evaluation (posterior samples), and nowhere else.

    Raises:
        ValueError: training without a stream; it would silently train another network.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, stream: torch.Generator | None = None) -> Tensor:
        """Float (n, d) to the same shape, kept values scaled by 1 / (1 - rate)."""
        if self.rate == 0:
            return x
        if stream is None:
            if self.training:
                raise ValueError("dropout needs a random stream in training")
            return x
        keep = torch.empty(x.shape, dtype=x.dtype, device=x.device).bernoulli_(1 - self.rate, generator=stream)
        return x * keep / (1 - self.rate)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"rate={self.rate}"


class Classifier(nn.Module):
    """A backbone, dropout and a linear head.

    Args:
        backbone: normalised float images (n, c, h, w) to features (n, d).
        width: d.
        classes: number of classes.
        mean, std: per channel, of images in [0, 1]; one value each for grey images, or three, to which grey
            images are repeated.
        dropout: share of features dropped before the head.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(width, classes)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor, stream: torch.Generator | None = None) -> Tensor:
        """Images, uint8 in 0 to 255 or float in [0, 1], shape (n, c, h, w), to float32 logits (n, classes)."""
        return self.head(self.features(images), stream)

    def features(self, images: Tensor) -> Tensor:
        """Images as in `forward` to pooled float32 features (n, d)."""
        x = (as_float(images) - self.mean) / self.std  # one channel becomes three where mean has three
        pooled: Tensor = self.backbone(x.contiguous(memory_format=torch.channels_last))
        return pooled.float()

    def head(self, features: Tensor, stream: torch.Generator | None = None) -> Tensor:
        """Features (n, d) to float32 logits (n, classes): many dropout samples cost one pass of the backbone."""
        logits: Tensor = self.linear(self.dropout(features, stream))
        return logits.float()
