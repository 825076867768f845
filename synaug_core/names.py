"""Names that MLflow, S3 and file systems all take."""

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["slug", "slugs"]


def slug(text: str) -> str:
    """Letters, digits, `-` and `_` only; never empty, never more than 64 characters."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-")[:64] or "x"


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A slug for each name, in order; names whose slugs collide get a number behind."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        base = candidate = slug(name)
        number = 2
        while candidate in taken:
            candidate, number = f"{base}-{number}", number + 1
        found[name] = candidate
        taken.add(candidate)
    return found
