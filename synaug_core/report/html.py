"""Pages that hold all they need: no script, no font, no image from elsewhere."""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synaug_core.data.png import encoded
from synaug_core.evaluate.sentence import p_text, percent_text, points
from synaug_core.report.style import png
from synaug_core.report.words import metric_name, number, p_short, percent, plain, span

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Picture", "data_uri", "pictures", "render"]

Picture = Any
"""A matplotlib Figure, a PIL image, or the bytes of a PNG."""

_DPI = 150
_SCALE = 100 / _DPI
"""Figures are drawn finer than they are shown, for sharp screens and paper."""


def render(template: str, **values: Any) -> str:
    """Fill a template of `report/templates`; every value is escaped."""
    return _environment().get_template(template).render(**values)


def data_uri(picture: Picture) -> str:
    """A picture as a PNG inside an address."""
    return "data:image/png;base64," + base64.b64encode(_png(picture)).decode()


def pictures(named: Mapping[str, Picture]) -> list[tuple[str, str, int]]:
    """Caption, address and width in CSS pixels of each picture: figures at the size of the text around them,
    sheets pixel by pixel."""
    found = []
    for name, picture in named.items():
        data = _png(picture)
        width = int.from_bytes(data[16:20], "big")  # of the PNG's header
        found.append((name, data_uri(data), round(width * _SCALE) if hasattr(picture, "savefig") else width))
    return found


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
        "metric_name": metric_name,
        "number": number,
        "p_text": p_text,
        "p_short": p_short,
        "percent": percent,
        "percent_text": percent_text,
        "plain": plain,
        "points": lambda share: points(share).replace("-", "−"),
        "span": span,
    }
    return environment
