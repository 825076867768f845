"""Around a network whose weights stay as they are: images as large as it knows them, and features on one scale."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Resize", "Standardised"]

_LEAST_DEVIATION = 1e-3
"""A feature that hardly differs between the training images must not decide by a hair."""


class Resize(nn.Module):
    """Enlarges or shrinks square images: bicubic and antialiased, clamped to [0, 1].

    Images that have the wanted size already stay as they are. It multiplies by a matrix from either side, which gives
    what `interpolate` gives, and on a GPU the same bytes each time in the gradient too.

    Args:
        size: of the images, pixels a side.
        shown: wanted.

    Attributes:
        shown: as above.
    """

    matrix: Tensor

    def __init__(self, size: int, shown: int) -> None:
        super().__init__()
        unit = torch.eye(size, dtype=torch.float64)[None, None]
        rows = F.interpolate(unit, size=(shown, size), mode="bicubic", antialias=True)[0, 0]
        self.shown = shown
        self.register_buffer("matrix", rows.float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Float (n, c, size, size) in [0, 1] to float32 (n, c, shown, shown) in [0, 1]."""
        if images.shape[-1] == self.shown:
            return images
        resized: Tensor = self.matrix @ images.float() @ self.matrix.T
        return resized.clamp(0, 1)


class Standardised(nn.Module):
    """Features of another module with the mean taken off and divided by the deviation of each; its weights are frozen.

    Args:
        features: images to float (n, width).
        width: number of features.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: nn.Module, width: int) -> None:
        super().__init__()
        self.features = features.requires_grad_(False)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, images: Tensor) -> Tensor:
        """Images as `features` takes them to float32 (n, width)."""
        return self.standardise(self.features(images))

    def standardise(self, features: Tensor) -> Tensor:
        """Float (n, width), of the dtype that they have."""
        return (features - self.mean) / self.deviation

    def fit(self, features: Tensor) -> None:
        """Take mean and deviation from the features, float (n, width), of these images."""
        double = features.double()
        self.mean.copy_(double.mean(dim=0))
        self.deviation.copy_(double.std(dim=0, correction=0).clamp_min(_LEAST_DEVIATION))
