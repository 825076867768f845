"""Folders that are filled whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from synaug_core.errors import UserError

__all__ = ["filled_at_once"]


@contextlib.contextmanager
def filled_at_once(target: Path, what: str, mode: int = 0o755) -> Iterator[Path]:
    """A folder to fill, which gets the name `target` when the block ends well and vanishes when it does not.

    Until then nobody else may enter it; `mode` says who may afterwards.

    Raises:
        UserError: `target` is there and not an empty folder, or its parent cannot be written; `what` names it.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{what}: {target} is there already; give a new or empty folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise UserError(f"{what}: {target} cannot be written ({reason})") from error
    try:
        yield partial
        partial.chmod(mode)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
