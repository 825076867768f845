"""Files that a command writes on request, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synaug_core.atomic_files import atomic_write
from synaug_core.errors import UserError

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["check_place", "write_json", "write_whole"]


def check_place(path: Path | None, option: str = "--json") -> None:
    """Before the work begins: can the file be written?

    Raises:
        UserError: it is a folder, or its folder does not exist.
    """
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise UserError(f"{option}: {path} is not a file in an existing folder")


def write_json(outcome: BaseModel, path: Path | None) -> None:
    """Write the outcome; None: nowhere."""
    if path is not None:
        write_whole(f"{outcome.model_dump_json(indent=2)}\n", path)


def write_whole(text: str, path: Path) -> None:
    """The file has the whole text, or is as it was before."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
