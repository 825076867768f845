"""Which keys become files of a mirror: those that are plain paths, on every system, within the folder."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from synaug_core.services.s3.client import StoredObject

__all__ = ["RefusedObject", "sorted_out", "why_not_a_path"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_PART, _LONGEST = 200, 1024  # bytes; file systems take 255 in a part


@dataclass(frozen=True)
class RefusedObject:
    """An object without a file: its name as it can be shown, and the reason."""

    name: str
    reason: str


def sorted_out(objects: Iterable[StoredObject]) -> tuple[tuple[StoredObject, ...], tuple[RefusedObject, ...]]:
    """The objects that become files, and the others."""
    good: list[StoredObject] = []
    refused: list[RefusedObject] = []
    plain: list[StoredObject] = []
    for stored in objects:
        if reason := why_not_a_path(stored.name):
            refused.append(RefusedObject(_shown(stored.name), reason))
        else:
            plain.append(stored)
    folders = {f for o in plain for f in _folders(o.name)}
    for stored in plain:
        if stored.name in folders:
            refused.append(RefusedObject(_shown(stored.name), "its key is also the folder of other keys"))
        else:
            good.append(stored)
    return tuple(good), tuple(refused)


def why_not_a_path(name: str) -> str | None:
    """What keeps the name of an object from being a path below a folder; None where nothing does."""
    if not name or name.endswith("/"):
        return "its key ends with a slash"
    if name.startswith("/") or "//" in name:
        return "its key has an empty part"
    if _CONTROL.search(name):
        return "its key has control characters"
    if "\\" in name:
        return "its key has a backslash"
    parts = name.split("/")
    if any(part in (".", "..") for part in parts):
        return "its key has . or .. as a part"
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "its key is not valid UTF-8"
    if max(lengths) > _LONGEST_PART or sum(lengths) + len(parts) > _LONGEST:
        return f"its key has a part of more than {_LONGEST_PART} bytes"
    return None


def _folders(name: str) -> Iterable[str]:
    parts = name.split("/")
    return ("/".join(parts[:n]) for n in range(1, len(parts)))


def _shown(name: str) -> str:
    """Control characters and broken Unicode as escapes, and not more than fits a line."""
    escaped = _CONTROL.sub(lambda control: f"\\x{ord(control[0]):02x}", name)
    text = escaped.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if len(text) <= 120 else f"{text[:117]}..."
