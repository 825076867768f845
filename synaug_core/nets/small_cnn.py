"""The small classifier network: convolution, ReLU, max-pooling; dropout and a fully connected layer follow."""

from torch import Tensor, nn

__all__ = ["SmallCNN"]

_SMALLEST_MAP = 6


class SmallCNN(nn.Module):
    """Features for a linear head: blocks of 3x3 convolution, batch normalisation, ReLU and 2x2 max-pooling.

    There are as many blocks as bring the map to 3 to 5 pixels a side, whose mean are the features; the channels
    double with each block from `width` to four times that. Dropout and the fully connected layer belong to the
    classifier around it, so that every backbone has the same ones. Normalisation and the mean are this project's
    choice: on a few hundred images the plain network with a hidden layer was 5 to 16 points worse.

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
        side, inputs, outputs = size, channels, width
        while side >= _SMALLEST_MAP:
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            blocks += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
            side, inputs, outputs = side // 2, outputs, min(2 * outputs, 4 * width)
        self.blocks = nn.Sequential(*blocks)
        self.features = inputs

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images, float (n, channels, size, size), to features (n, d)."""
        maps: Tensor = self._pooled_first(x) if self.training else self.blocks(x)
        return maps.mean(dim=(2, 3))

    def _pooled_first(self, x: Tensor) -> Tensor:
        """What `blocks` gives, bit by bit, with ReLU on a quarter of the values: the largest of four that are cut at 0
        is the largest of the four, cut at 0, and its gradient goes to the same value."""
        layers = iter(self.blocks)
        for convolution, norm, relu, pool in zip(layers, layers, layers, layers, strict=True):
            x = relu(pool(norm(convolution(x))))
        return x
