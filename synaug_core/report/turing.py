"""The pages of a visual Turing test: the one that asks, and the one that tells what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from synaug_core.data import png
from synaug_core.report.html import data_uri, render

if TYPE_CHECKING:
    from torch import Tensor

    from synaug_core.turing.result import Fooled, TuringResult

__all__ = ["as_png", "rating_page", "result_page"]

_MOST = 48
"""Images of each kind on the result's page."""
_SIDE = 96


def rating_page(*, token: str, nonce: str, rater: str, classes: int, images: int, name: str) -> str:
    """The page that shows one image after the other. Which image is what is not in it.

    Args:
        token: what the page's own requests carry, and no other site knows.
        nonce: of the page's script and style, for the Content-Security-Policy header.
        rater: filled in as the rater's name; may be empty.
        classes: how many classes there are.
        images: how many images are shown.
        name: what is tested.
    """
    return render("turing.html", token=token, nonce=nonce, rater=rater, classes=classes, images=images, name=name)


def result_page(result: TuringResult, image_of: Callable[[Fooled], Tensor], *, name: str, note: str) -> str:
    """One self-contained page without scripts: the answer in a sentence, the figures, the images that fooled people.

    Args:
        result: the figures.
        image_of: the uint8 image (channels, side, side) of one that fooled people.
        name: what was tested.
        note: how the images were chosen.
    """

    def cells(synthetic: bool) -> tuple[list[tuple[str, Fooled]], int]:
        images = [f for f in result.fooled if f.synthetic == synthetic]
        return [(data_uri(as_png(image_of(f))), f) for f in images[:_MOST]], len(images)

    kinds = [
        ("Synthetic images taken for real ones", *cells(True)),
        ("Real images taken for synthetic ones", *cells(False)),
    ]
    size = max((image_of(f).shape[-1] for f in result.fooled[:1]), default=_SIDE)
    side = size * max(1, _SIDE // size) if size <= _SIDE else _SIDE
    return render(
        "turing_result.html",
        r=result,
        kinds=kinds,
        side=side,
        pixelated=size <= _SIDE,
        name=name,
        note=note,
    )


def as_png(image: Tensor) -> bytes:
    """A uint8 image (1 or 3, h, w) as PNG: the same encoder for all, no names, no times."""
    return png.of_pixels(image.cpu().numpy())
