"""The small classifier network: convolution, ReLU, max-pooling, fully connected."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SmallCNN"]

_SMALLEST_MAP = 6
_HIDDEN = 128


class SmallCNN(nn.Module):
    """Features for a linear head: blocks of 3x3 convolution, ReLU and 2x2 max-pooling, then a hidden layer.

    There are as many blocks as bring the map to 3 to 5 pixels a side; the channels double from `width` to four
    times that. Dropout and the last fully connected layer belong to the classifier around it, so that every
    backbone has the same ones.

    Args:
        channels: input channels, 1 or 3.
        size: side length in pixels, 16 or more.
        width: channels of the first convolution.

    Attributes:
        features: width d of the output.

    Raises:
        ValueError: an image under 16 pixels.
    """

    def __init__(self, channels: int, size: int, width: int = 32) -> None:
        super().__init__()
        if size < 16:
            raise ValueError(f"small_cnn: images of {size} px are too small, 16 is the least")
        blocks: list[nn.Module] = []
        side, inputs = size, channels
        while side >= _SMALLEST_MAP:
            outputs = width * min(2 ** (len(blocks) // 3), 4)
            blocks += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            side, inputs = side // 2, outputs
        self.blocks = nn.Sequential(*blocks)
        self.hidden = nn.Linear(inputs * side * side, _HIDDEN)
        self.features = _HIDDEN
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # both are made with a bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images, float (n, channels, size, size), to features (n, d)."""
        hidden: Tensor = self.hidden(self.blocks(x).flatten(1))
        return hidden.relu()
