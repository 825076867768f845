"""Pages that hold all they need: no script, no font, no image from elsewhere."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synaug_core.data.png import encoded
from synaug_core.evaluate.sentence import p_text, percent_text, points
from synaug_core.report.style import png
from synaug_core.report.words import figure, keep_percent_on_line, metric_name, number, p_short, percent, plain, span

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

__all__ = ["Picture", "Shown", "data_uri", "embed_figures", "embed_pictures", "embed_sheets", "figure_png", "render"]

Picture = Any
"""A matplotlib Figure, a PIL image, or the bytes of a PNG."""

_DPI, _CSS = 150, 100
"""Figures are drawn finer than they are shown, for sharp screens and paper."""


def render(template: str, **values: Any) -> str:
    """Fill a template of `report/templates`; every value is escaped."""
    return _environment().get_template(template).render(**values)


def data_uri(picture: Picture) -> str:
    """A picture as a PNG inside an address."""
    return "data:image/png;base64," + base64.b64encode(_png(picture)).decode()


def embed_pictures(pictures: Mapping[str, Picture]) -> list[tuple[str, str, int]]:
    """Caption, address and width in CSS pixels of each picture: figures at the size of the text around them,
    sheets pixel by pixel."""
    embedded = []
    for name, picture in pictures.items():
        data = _png(picture)
        width = int.from_bytes(data[16:20], "big")  # of the PNG's header
        embedded.append((name, data_uri(data), round(width * _CSS / _DPI) if hasattr(picture, "savefig") else width))
    return embedded


def _png(picture: Picture) -> bytes:
    if isinstance(picture, bytes):
        return picture
    if hasattr(picture, "savefig"):
        return png(picture, _DPI)
    return encoded(picture)


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("synaug_core.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": figure,
        "keep_percent": keep_percent_on_line,
        "metric_name": metric_name,
        "number": number,
        "p_text": p_text,
        "p_short": p_short,
        "percent": percent,
        "percent_text": percent_text,
        "plain": plain,
        "points": points,
        "span": span,
    }
    return environment


Shown = list[tuple[str, str, int]]
"""Caption, address and width in CSS pixels."""

_LARGE = 130_000
"""Bytes of a picture that stays as it is."""
_FIGURE_COLOURS = 128
_ROOM = 800_000
"""Bytes for the sheets of one call together."""


def figure_png(drawn: Figure) -> bytes:
    """A figure as a PNG, finer than it is shown."""
    return png(drawn, _DPI)


def embed_figures(figures: Mapping[str, Figure | bytes]) -> Shown:
    """Figures by caption, or as PNGs of `figure_png`."""
    data = {caption: drawn if isinstance(drawn, bytes) else figure_png(drawn) for caption, drawn in figures.items()}
    slim = {c: _fewer(picture, _FIGURE_COLOURS) if len(picture) > _LARGE else picture for c, picture in data.items()}
    return [(caption, address, round(width * _CSS / _DPI)) for caption, address, width in embed_pictures(slim)]


def embed_sheets(sheets: Mapping[str, Picture]) -> Shown:
    """Sheets of images by caption, pixel by pixel; where they are too large together, with fewer colours."""
    data = {plain(name, 120) if name else "": _bytes(sheet) for name, sheet in sheets.items()}
    if (size := sum(map(len, data.values()))) > _ROOM:
        colours = 256 if size < 3 * _ROOM else 64 if size < 8 * _ROOM else 24
        data = {name: _fewer(sheet, colours) if len(sheet) > _LARGE else sheet for name, sheet in data.items()}
    return embed_pictures(data)


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
