"""Image files to classes and probabilities, by one version of a model."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synaug_core.serving import errors, uploads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synaug_core.data.decode import Limits
    from synaug_core.serving.model import Served

__all__ = ["Answer", "answer", "one_image"]

_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Answer:
    """What a version says of some images.

    Attributes:
        served: the version.
        names: what the client calls the images.
        pixels: uint8 (n, channels, size, size), as the classifier saw them.
        features: float32 (n, d), before the head.
        probabilities: float32 (n, classes).
        when: in UTC.
    """

    served: Served
    names: tuple[str, ...]
    pixels: NDArray[np.uint8]
    features: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    when: dt.datetime

    def classes(self) -> list[str]:
        """The most probable class of each image."""
        return [self.served.classifier.classes[i] for i in self.probabilities.argmax(axis=1)]

    def as_json(self) -> dict[str, Any]:
        """The response."""
        classes = self.served.classifier.classes
        pairs = zip(self.names, self.probabilities.tolist(), strict=True)
        rows = [one_image(name, classes, row) for name, row in pairs]
        model = {"name": self.served.name, "version": self.served.version, "alias": self.served.alias}
        return {"model": model, "images": rows}


def one_image(name: str, classes: Sequence[str], row: Sequence[float]) -> dict[str, Any]:
    """What is said of one image: its name, the most probable class, and each class's probability, as in `row`."""
    probabilities = dict(zip(classes, row, strict=True))
    best = max(probabilities, key=probabilities.__getitem__)
    return {"file": name, "class": best, "probability": probabilities[best], "probabilities": probabilities}


def answer(served: Served, images: Sequence[uploads.Upload], limits: Limits, end: float) -> Answer:
    """Decode images as the training images were decoded, and classify them.

    Args:
        served: the version that answers.
        images: at least one.
        limits: of each image.
        end: time (monotonic clock) at which it is given up.

    Raises:
        RequestError: 422 an image cannot be read, 503 it takes too long.
    """
    import numpy as np
    import torch

    from synaug_core.data.decode import UnreadableError, load_square

    classifier = served.classifier
    decoded = []
    for number, image in enumerate(images):
        _in_time(end)
        try:
            square = load_square(image.data, classifier.size, classifier.channels, served.preprocessing, limits)
            decoded.append(square)
        except UnreadableError as error:
            called = f" ({image.name})" if image.name else ""
            raise errors.RequestError(422, f"image {number} (counted from 0){called}: {error}") from error
    pixels = np.stack(decoded)
    features, probabilities = [], []
    model = classifier.model
    with torch.inference_mode():
        for part in torch.split(torch.from_numpy(pixels), _AT_ONCE):
            _in_time(end)
            embedded = model.features(part.to(model.mean.device))
            features.append(embedded.cpu().numpy())
            probabilities.append(model.head(embedded).softmax(dim=1).cpu().numpy())
    return Answer(
        served=served,
        names=tuple(image.name for image in images),
        pixels=pixels,
        features=np.concatenate(features),
        probabilities=np.concatenate(probabilities),
        when=dt.datetime.now(dt.UTC),
    )


def _in_time(end: float) -> None:
    if time.monotonic() > end:
        raise errors.RequestError(503, "the request took too long; send fewer or smaller images at once")
