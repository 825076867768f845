"""Pages that hold all they need: no script, no font, no image from elsewhere."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synaug_core.evaluate.sentence import p_text, percent_text, points
from synaug_core.report.style import png
from synaug_core.report.words import metric_name, number, percent, plain, span

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Picture", "data_uri", "pictures", "render"]

Picture = Any
"""A matplotlib Figure, a PIL image, or the bytes of a PNG."""


def render(template: str, **values: Any) -> str:
    """Fill a template of `report/templates`; every value is escaped."""
    return _environment().get_template(template).render(**values)


def data_uri(picture: Picture) -> str:
    """A picture as a PNG inside an address."""
    if isinstance(picture, bytes):
        data = picture
    elif hasattr(picture, "savefig"):
        data = png(picture)
    else:
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG", optimize=True)
        data = buffer.getvalue()
    return "data:image/png;base64," + base64.b64encode(data).decode()


def pictures(named: Mapping[str, Picture]) -> list[tuple[str, str, int]]:
    """Caption, address and natural width in CSS pixels (0: as wide as fits) of each picture."""
    return [(name, data_uri(p), 0 if not hasattr(p, "width") else int(p.width)) for name, p in named.items()]


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
        "p_short": lambda p: p_text(p).removeprefix("p ").removeprefix("= "),
        "percent": percent,
        "percent_text": percent_text,
        "plain": plain,
        "points": points,
        "span": span,
    }
    return environment
