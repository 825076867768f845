"""Values as MLflow stores them: flat names, short texts, finite numbers."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from synaug_core.services.secrets import redacted

__all__ = ["as_params", "as_tags", "is_number"]

_PARAM_LENGTH, _TAG_LENGTH = 6000, 5000


def as_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Nested mappings become dotted names, sequences JSON texts; credentials in addresses are left out."""
    return {name: redacted(_text(value))[:_PARAM_LENGTH] for name, value in _leaves(values)}


def as_tags(values: Mapping[str, Any]) -> dict[str, str]:
    """The texts of tags; credentials in addresses are left out."""
    return {name: redacted(_text(value))[:_TAG_LENGTH] for name, value in values.items()}


def is_number(value: float | None) -> bool:
    """False for None, NaN and infinities: what is undefined is left out."""
    return value is not None and math.isfinite(value)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, (list, tuple, dict)) else str(value)
