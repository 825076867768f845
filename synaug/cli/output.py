"""What a command puts out: lines and tables in the terminal; files and folders, whole or not at all."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from synaug_core import atomic_files, errors

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "check_place",
    "filled_at_once",
    "print_lines",
    "print_plan",
    "print_rows",
    "print_table",
    "write_json",
    "write_whole",
]


def print_lines(*lines: str) -> None:
    """Print each text as it is, without markup, on one line however long it is."""
    console = Console(highlight=False)
    for line in lines:
        console.print(escape(line), soft_wrap=True)


def print_plan(text: str) -> None:
    """Print a line on what is going to happen, as the first one of the progress."""
    Console(stderr=True, highlight=False).print(escape(f"[0:00] plan: {text}"), soft_wrap=True)


def print_table(table: RenderableType) -> None:
    """Print a table as wide as the terminal allows."""
    Console(highlight=False).print(table)


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of texts."""
    table = Table(*header)
    for row in rows:
        table.add_row(*map(escape, row))
    print_table(table)


def check_place(path: Path | None, option: str = "--json") -> None:
    """Check, before the work begins, that a file can be written.

    Raises:
        UserError: it is a folder, or its folder does not exist.
    """
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise errors.UserError(f"{option}: {path} is not a file in an existing folder")


def write_json(outcome: "BaseModel", path: Path | None) -> None:
    """Write the outcome; None: nowhere."""
    if path is not None:
        write_whole(f"{outcome.model_dump_json(indent=2)}\n", path)


def write_whole(text: str, path: Path) -> None:
    """The file has the whole text, or is as it was before."""
    with atomic_files.atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def filled_at_once(target: Path, label: str, mode: int = 0o755) -> Iterator[Path]:
    """A folder to fill, which gets the name `target` when the block ends well and vanishes when it does not.

    Until then only this user may enter it; `mode` are its permissions afterwards.

    Raises:
        UserError: `target` exists and is not an empty folder, or its parent cannot be written; `label` begins the text.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise errors.UserError(f"{label}: {target} exists already and is not an empty folder; give a new or empty one")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise errors.UserError(f"{label}: {target} cannot be written ({reason})") from error
    try:
        yield partial
        partial.chmod(mode)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
