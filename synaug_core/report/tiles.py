"""Rows of small images with names, drawn pixel by pixel: what a sheet is made of."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from synaug_core.report import style, words

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Row", "font", "sheet"]

_EMPTY = "#f3f4f6"
_GAP, _PAD, _BREAK = 3, 14, 16
_LINE = 17


@dataclass(frozen=True, eq=False)
class Row:
    """One row: a name, a line below it, and its images, uint8 (n, 1 or 3, h, w); `missing` stands where none is.

    `space` is put above the row, in pixels.
    """

    name: str
    note: str
    images: Tensor
    missing: str = ""
    space: int = 0


@functools.cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and knows most scripts of the West."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)


def sheet(
    rows: Sequence[Row],
    *,
    heading: str = "",
    columns: Sequence[tuple[str, int]] = (),
    breaks: Sequence[int] = (),
    blocks: int = 1,
    tile: int = 64,
) -> Image.Image:
    """Rows below each other, in `blocks` columns of rows.

    Args:
        rows: what to show; every row may have another number of images.
        heading: a line on top.
        columns: (text, first tile) written above each block.
        breaks: tiles before which a gap is left.
        blocks: side by side blocks of rows, read downwards.
        tile: least side of a tile in pixels; small images grow by a whole factor, so that pixels stay pixels.
    """
    tall = max((row.images.shape[2] for row in rows if len(row.images)), default=tile)
    wide = max((row.images.shape[3] for row in rows if len(row.images)), default=tile)
    factor = max(1, -(-tile // max(tall, wide)))
    height, width = tall * factor, wide * factor
    widest = max((len(row.images) for row in rows), default=0) or 1
    names = max(
        (int(max(font(13, True).getlength(words.plain(r.name)), font(11).getlength(r.note))) for r in rows), default=0
    )
    left = names + 12
    block = left + widest * (width + _GAP) + len(breaks) * _BREAK
    per_block = -(-len(rows) // blocks)
    step = max(height, 2 * _LINE) + _GAP
    parts = [rows[i * per_block : (i + 1) * per_block] for i in range(blocks)]
    top = _PAD + (26 if heading else 0) + (20 if columns else 0)
    full = top + max(sum(step + r.space for r in part) for part in parts) + _PAD
    canvas = Image.new("RGB", (blocks * block + (blocks - 1) * 28 + 2 * _PAD, full), "white")
    draw = ImageDraw.Draw(canvas)
    if heading:
        heading_width = 2 * _PAD + int(font(15, True).getlength(heading))
        if heading_width > canvas.width:
            canvas = _widened(canvas, heading_width)
            draw = ImageDraw.Draw(canvas)
        draw.text((_PAD, _PAD - 2), heading, style.INK, font(15, True))
    for b, part in enumerate(parts):
        x0 = _PAD + b * (block + 28)
        for text, first in columns if part else ():
            x = x0 + left + first * (width + _GAP) + _BREAK * sum(first >= k for k in breaks)
            draw.text((x, top - 19), text, style.GREY, font(12))
        y = top
        for row in part:
            y += row.space
            _text(draw, row, x0, y + (height - (2 if row.note else 1) * _LINE) // 2)
            for i, pixels in enumerate(_enlarged(row.images, factor)):
                x = x0 + left + i * (width + _GAP) + _BREAK * sum(i >= k for k in breaks)
                canvas.paste(pixels, (x, y))
            if not len(row.images) and row.missing:
                box = (x0 + left, y, x0 + left + max(width, int(font(11).getlength(row.missing)) + 16), y + height)
                draw.rectangle(box, fill=_EMPTY)
                draw.text((box[0] + 8, y + height // 2 - 7), row.missing, style.GREY, font(11))
            y += step
    return canvas


def _text(draw: ImageDraw.ImageDraw, row: Row, x: int, y: int) -> None:
    draw.text((x, y), words.plain(row.name) if row.name else "", style.INK, font(13, True))
    if row.note:
        draw.text((x, y + _LINE), row.note, style.GREY, font(11))


def _enlarged(images: Tensor, factor: int) -> list[Image.Image]:
    """uint8 (n, c, h, w) to PIL images, each pixel `factor` times as wide and high."""
    if not len(images):
        return []
    pixels: NDArray[Any] = images.cpu().numpy().transpose(0, 2, 3, 1)
    pixels = np.repeat(np.repeat(pixels, factor, 1), factor, 2)
    return [Image.fromarray(p[:, :, 0] if p.shape[2] == 1 else p) for p in pixels]


def _widened(image: Image.Image, width: int) -> Image.Image:
    wider = Image.new("RGB", (width, image.height), "white")
    wider.paste(image, (0, 0))
    return wider
