"""Image files as they are named on the command line, read for a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.vocabulary import Fit

__all__ = ["read_pictures"]


def read_pictures(
    classifier: TrainedClassifier, paths: Sequence[Path], fit: Fit
) -> tuple[list[tuple[Path, NDArray[np.uint8]]], list[str]]:
    """The pixels of each file that can be read, (channels, size, size), and a line on each that cannot."""
    from synaug_core.data.decode import UnreadableError, load_square

    read: list[tuple[Path, NDArray[np.uint8]]] = []
    lines = []
    for path in paths:
        try:
            pixels = load_square(path.read_bytes(), classifier.size, classifier.channels, fit=fit)
            read.append((path, pixels))
        except IsADirectoryError:
            lines.append(f"{path} is a folder; name its images, such as {path}/*.png")
        except OSError as error:
            lines.append(f"{path}: cannot be read ({(error.strerror or 'unknown reason').lower()})")
        except UnreadableError as error:
            lines.append(f"{path}: {error}")
    return read, lines
