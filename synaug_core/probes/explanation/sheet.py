"""Where the arms look, side by side: a test image in each row, an arm in each column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from synaug_core.report import style, tiles, words

if TYPE_CHECKING:
    from synaug_core.data.imageset import ImageSet
    from synaug_core.probes.explanation.report import ArmView, ExplainedImage, Explanation

__all__ = ["cam_sheet", "overlay"]

_WRONG = "#D55E00"
_COLOURS = "viridis"  # one hue after the other in brightness, told apart by colour-blind readers and in grey print
_PAD, _GAP, _TEXT = 16, 10, 15
_NAMES = 190
_WIDE, _NARROW, _FEW = 116, 88, 6
_PIXELS_SHOW = 44
_CROSS = "\N{BALLOT X}"


def cam_sheet(
    explanation: Explanation, shown: ImageSet, maps: Mapping[str, NDArray[np.float32]], *, heading: str = ""
) -> Image.Image:
    """One row for each image: its true class and why it is shown, the image, and each arm's map laid over it.

    Below a map stand the class that the arm predicts and the probability that it gives the true one; wrong
    predictions have a cross and a frame. The last row says how much the maps change against the reference.

    Args:
        explanation: whose images are shown.
        shown: those images, in that order.
        maps: by arm, in the order of the columns, float32 (images, h, w) in [0, 1].
        heading: a line on top.
    """
    arms = list(maps)
    side = _side(shown.size, len(arms))
    cell = side + _GAP
    titles = {arm: _wrapped(arm, cell - 4, 3, 12, bold=True) for arm in arms}
    lines = max(len(t) for t in titles.values()) + 1
    top = _PAD + (28 if heading else 0) + lines * _TEXT + 6
    step = side + 2 * _TEXT + 14
    foot = 2 * _TEXT + 16 + 3 * (_TEXT + 4) + 10
    width = max(
        2 * _PAD + _NAMES + cell * (1 + len(arms)), 2 * _PAD + int(tiles.font(15, True).getlength(heading)), 780
    )
    canvas = Image.new("RGB", (width, top + step * len(shown) + foot), "white")
    draw = ImageDraw.Draw(canvas)
    if heading:
        draw.text((_PAD, _PAD - 2), heading, style.INK, tiles.font(15, True))
    columns = [_PAD + _NAMES + cell * i for i in range(1 + len(arms))]
    draw.text((columns[0], top - 6 - _TEXT), "image", style.GREY, tiles.font(11))
    for x, arm in zip(columns[1:], arms, strict=True):
        column_title = [*titles[arm], "reference"] if arm == explanation.reference else titles[arm]
        for i, line in enumerate(column_title):
            ink, face = (style.GREY, tiles.font(11)) if i == len(titles[arm]) else (style.INK, tiles.font(12, True))
            draw.text((x, top - 6 - _TEXT * (len(column_title) - i)), line, ink, face)
    for row, (image, pixels) in enumerate(zip(explanation.images, shown.images.cpu().numpy(), strict=True)):
        y = top + row * step
        draw.line((_PAD, y - 4, width - _PAD, y - 4), style.LIGHT)
        _name(draw, image, _PAD, y)
        canvas.paste(_resized(_rgb(pixels), side), (columns[0], y))
        for x, arm in zip(columns[1:], arms, strict=True):
            canvas.paste(overlay(pixels, maps[arm][row], side), (x, y))
            _caption(draw, image.arms[arm], image.label, x, y, side, cell - 4)
    _foot(draw, canvas, explanation, arms, columns, top + step * len(shown))
    return canvas


def overlay(pixels: NDArray[np.uint8], values: NDArray[np.float32], side: int) -> Image.Image:
    """The image in grey, coloured by the map.

    Args:
        pixels: uint8 (1 or 3, h, w).
        values: float (h, w) in [0, 1]; the scale is the same for every map.
        side: of the result, in pixels.
    """
    from matplotlib import colormaps

    grey = np.asarray(_resized(_rgb(pixels).convert("L"), side), np.float32)[:, :, None]
    smooth = Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR)
    colours: NDArray[Any] = np.asarray(colormaps[_COLOURS](np.asarray(smooth)))[:, :, :3]
    return Image.fromarray(np.clip(0.5 * grey + 255 * 0.5 * colours, 0, 255).round().astype(np.uint8))


def _side(size: int, arms: int) -> int:
    """Side of a tile: small images grow by a whole factor, so that pixels stay pixels, others to a fixed size."""
    target = _WIDE if arms <= _FEW else _NARROW
    return size * max(1, round(target / size)) if size <= _PIXELS_SHOW else target


def _rgb(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.repeat(pixels.transpose(1, 2, 0), 3 // pixels.shape[0], axis=2))


def _resized(image: Image.Image, side: int) -> Image.Image:
    how = Image.Resampling.NEAREST if image.width <= _PIXELS_SHOW else Image.Resampling.LANCZOS
    return image.resize((side, side), how)


def _name(draw: ImageDraw.ImageDraw, image: ExplainedImage, x: int, y: int) -> None:
    y += 4
    for line in _wrapped(image.label, _NAMES - 14, 2, 13, bold=True):
        draw.text((x, y), line, style.INK, tiles.font(13, True))
        y += _TEXT + 2
    for line in _wrapped(image.why, _NAMES - 14, 3, 11):
        draw.text((x, y), line, style.GREY, tiles.font(11))
        y += _TEXT - 1


def _caption(draw: ImageDraw.ImageDraw, view: ArmView, label: str, x: int, y: int, side: int, room: int) -> None:
    is_wrong = view.predicted != label
    if is_wrong:
        draw.rectangle((x - 2, y - 2, x + side + 1, y + side + 1), outline=_WRONG, width=3)
    text = f"{_CROSS} {view.predicted}" if is_wrong else view.predicted
    draw.text((x, y + side + 3), _fitted(text, room, 11), _WRONG if is_wrong else style.INK, tiles.font(11))
    draw.text((x, y + side + 3 + _TEXT - 1), f"p(true) {view.probability:.2f}", style.GREY, tiles.font(11))


def _foot(
    draw: ImageDraw.ImageDraw,
    canvas: Image.Image,
    explanation: Explanation,
    arms: Sequence[str],
    columns: Sequence[int],
    y: int,
) -> None:
    draw.line((_PAD, y - 4, canvas.width - _PAD, y - 4), style.LIGHT)
    draw.text((_PAD, y + 2), "change of the map", style.INK, tiles.font(12, True))
    draw.text((_PAD, y + 2 + _TEXT), "1 - correlation", style.GREY, tiles.font(11))
    for x, arm in zip(columns[1:], arms, strict=True):
        change = explanation.noise if arm == explanation.reference else explanation.change.get(arm)
        value = "–" if change is None else f"{change.correlation:.2f}"
        draw.text((x, y + 2), value, style.INK, tiles.font(12, True))
        if change is not None:
            sample_text = "by chance" if arm == explanation.reference else f"{change.n} images"
            draw.text((x, y + 2 + _TEXT), sample_text, style.GREY, tiles.font(11))
    _legend(draw, canvas, _PAD, y + 2 * _TEXT + 16, explanation)


def _legend(draw: ImageDraw.ImageDraw, canvas: Image.Image, x: int, y: int, explanation: Explanation) -> None:
    from matplotlib import colormaps

    ramp = (np.asarray(colormaps[_COLOURS](np.linspace(0, 1, 60)))[None, :, :3] * 255).round().astype(np.uint8)
    canvas.paste(Image.fromarray(np.repeat(ramp, 12, axis=0)), (x, y + 2))
    lines = [
        "bright: adds most to the score of the true class; dark: least, or against it (then the rim is bright); "
        "each map by itself"
    ]
    if explanation.noise is not None:
        lines.append(f"change by chance: between two trainings of {words.plain(explanation.reference)}")
    for row, text in zip((0, 2), lines, strict=False):
        draw.text((x + 68 * (row == 0), y + row * (_TEXT + 4)), text, style.GREY, tiles.font(11))
    y += _TEXT + 4
    draw.rectangle((x, y + 1, x + 12, y + 13), outline=_WRONG, width=3)
    draw.text((x + 20, y), f"{_CROSS} wrong prediction", _WRONG, tiles.font(11))


def _fitted(text: str, room: int, size: int, bold: bool = False) -> str:
    """The text, or as much of it as fits, with an ellipsis."""
    line, face = words.plain(text, 200), tiles.font(size, bold)
    if face.getlength(line) <= room:
        return line
    while line and face.getlength(line + "…") > room:
        line = line[:-1]
    return line.rstrip() + "…"


def _wrapped(text: str, room: int, lines: int, size: int, bold: bool = False) -> list[str]:
    """At most `lines` lines, broken at spaces, hyphens and underscores where there are any."""
    face = tiles.font(size, bold)
    parts, wrapped = _parts(words.plain(text, 200)), [""]
    for i, part in enumerate(parts):
        if wrapped[-1] and face.getlength((wrapped[-1] + part).rstrip()) > room:
            if len(wrapped) == lines:
                wrapped[-1] += "".join(parts[i:])
                break
            wrapped.append("")
        wrapped[-1] += part
    return [_fitted(line, room, size, bold) for line in wrapped]


def _parts(text: str) -> list[str]:
    parts, start = [], 0
    for i, c in enumerate(text):
        if c in " -_/":
            parts.append(text[start : i + 1])
            start = i + 1
    return [p for p in [*parts, text[start:]] if p]
