"""The JSON file of an outcome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synaug_core.errors import UserError

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["check_place", "write_json"]


def check_place(path: Path | None) -> None:
    """Before the work begins: can the file be written?

    Raises:
        UserError: it is a folder, or its folder does not exist.
    """
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise UserError(f"--json: {path} is not a file in an existing folder")


def write_json(outcome: BaseModel, path: Path | None) -> None:
    """Write the outcome whole or not at all; None: nowhere."""
    if path is None:
        return
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(f"{outcome.model_dump_json(indent=2)}\n", encoding="utf-8")
    partial.replace(path)
