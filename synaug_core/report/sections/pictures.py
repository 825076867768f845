"""Figures and sheets that keep a page small: large ones get a palette."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from synaug_core.data.png import encoded
from synaug_core.report.html import Picture, pictures
from synaug_core.report.style import png
from synaug_core.report.words import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Shown", "drawn", "fine", "sheets_shown"]

Shown = list[tuple[str, str, int]]
"""Caption, address and width in CSS pixels."""

_DPI, _CSS = 150, 100
_LARGE = 130_000
"""Bytes of a picture that stays as it is."""
_FIGURE_COLOURS = 128
_ROOM = 800_000
"""Bytes for the sheets of one call together."""


def fine(figure: Figure) -> bytes:
    """A figure as a PNG, finer than it is shown."""
    return png(figure, _DPI)


def drawn(figures: Mapping[str, Figure | bytes]) -> Shown:
    """Figures by caption, or what `fine` made of them."""
    data = {caption: found if isinstance(found, bytes) else fine(found) for caption, found in figures.items()}
    slim = {c: _fewer(picture, _FIGURE_COLOURS) if len(picture) > _LARGE else picture for c, picture in data.items()}
    return [(caption, address, round(width * _CSS / _DPI)) for caption, address, width in pictures(slim)]


def sheets_shown(sheets: Mapping[str, Picture]) -> Shown:
    """Sheets of images by caption, pixel by pixel; where they are too large together, with fewer colours."""
    data = {plain(name, 120) if name else "": _bytes(sheet) for name, sheet in sheets.items()}
    if (size := sum(map(len, data.values()))) > _ROOM:
        colours = 256 if size < 3 * _ROOM else 64 if size < 8 * _ROOM else 24
        data = {name: _fewer(sheet, colours) if len(sheet) > _LARGE else sheet for name, sheet in data.items()}
    return pictures(data)


def _bytes(sheet: Picture) -> bytes:
    if isinstance(sheet, bytes):
        return sheet
    if hasattr(sheet, "savefig"):
        return png(sheet, _CSS)
    return encoded(sheet, compress_level=3)


def _fewer(picture: bytes, colours: int) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened:
        flat = opened.convert("RGB").quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return min(picture, encoded(flat), key=len)
