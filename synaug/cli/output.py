"""What a command puts out: lines and tables in the terminal; files and folders, whole or not at all."""

import contextlib
import os
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
    "examples",
    "filled_at_once",
    "print_lines",
    "print_plan",
    "print_rows",
    "print_sentences",
    "print_table",
    "terminal_width",
    "write_json",
    "write_whole",
]


def print_lines(*lines: str) -> None:
    """Print each text as it is, without markup, on one line however long it is."""
    console = Console(highlight=False)
    for line in lines:
        console.print(escape(line), soft_wrap=True)


def print_sentences(*sentences: str) -> None:
    """Print each sentence from the line's start: wrapped between words in a terminal, on one line anywhere else."""
    console = Console(highlight=False)
    for sentence in sentences:
        text = sentence.replace(" %", "\N{NO-BREAK SPACE}%") if console.is_terminal else sentence
        console.print(escape(text), soft_wrap=not console.is_terminal)


def print_plan(lines: Sequence[str]) -> None:
    """Print lines on what is going to happen, as the first ones of the progress."""
    console = Console(stderr=True, highlight=False)
    for line in lines:
        console.print(escape(line), soft_wrap=not console.is_terminal)


def examples(*commands: str) -> str:
    """The end of a command's help."""
    return escape("\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)]))


def terminal_width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return Console().width


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
        UserError: it is a folder or a socket, its folder does not exist, or it cannot be written.
    """
    if path is None:
        return
    try:
        file = _replaced(path)
        if file is None:
            if path.is_socket() or not os.access(path, os.W_OK):
                raise errors.UserError(f"{option}: {path} cannot be written")
        elif file.is_dir() or not file.parent.is_dir():
            raise errors.UserError(f"{option}: {path} is not a file in an existing folder")
        else:
            with tempfile.TemporaryFile(dir=file.parent):
                pass
    except (OSError, RuntimeError) as error:  # a link in a circle, too
        reason = (getattr(error, "strerror", None) or "unknown reason").lower()
        raise errors.UserError(f"{option}: {path} cannot be written ({reason})") from error


def _replaced(path: Path) -> Path | None:
    """The file that `path` names, itself or through links, to be replaced by a new one; None where something else than
    a file stands there, such as a device or a pipe, which is written to. A descriptor's place, such as `/dev/stdout`,
    is none either, wherever it leads.
    """
    is_descriptor = path.absolute().parts[1:2] in (("dev",), ("proc",))
    if path.exists() and not path.is_dir() and (is_descriptor or not path.is_file()):
        return None
    return path.resolve()


def write_json(outcome: "BaseModel", path: Path | None) -> None:
    """Write the outcome; None: nowhere."""
    if path is not None:
        write_whole(f"{outcome.model_dump_json(indent=2)}\n", path)


def write_whole(text: str, path: Path) -> None:
    """A file has the whole text, or is as it was before; a device or a pipe is written to."""
    file = _replaced(path)
    if file is None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            remaining = memoryview(text.encode())
            while remaining:
                remaining = remaining[stream.write(remaining) or 0 :]
        return
    with atomic_files.atomic_write(file) as partial:
        partial.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def filled_at_once(target: Path, label: str, mode: int = 0o755) -> Iterator[Path]:
    """A folder to fill, which gets the name `target` when the block ends well and vanishes when it does not.

    Until then only this user may enter it; `mode` are its permissions afterwards.

    Raises:
        UserError: `target` exists and is not an empty folder, or its parent cannot be written; `label` begins the text.
    """
    target = target.resolve()  # a link leads to the folder that is filled
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
