"""`synaug config`: what each key of the configuration is for."""

import textwrap
from typing import Annotated

import typer

from synaug.cli import output

__all__ = ["config"]

_WIDEST = 100


def _complete(incomplete: str) -> list[str]:
    from synaug_core.config import keys

    return [key for key in keys.known_keys() if key.startswith(incomplete)]


def config(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]", help="A key or a section, such as data.small_classes.", autocompletion=_complete
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print a JSON schema by which editors complete and check YAML files.")
    ] = False,
) -> None:
    """Print the keys of the configuration: what each does, what it takes, its default and an example."""
    from synaug_core.config import reference

    if schema:
        typer.echo(reference.editor_schema(), nl=False)
        return
    entries = reference.list_keys() if key is None else reference.describe_key(key)
    width = min(_WIDEST, output.terminal_width())
    for entry in entries:
        lines = [entry.name, *_indented(entry.help, width)]
        if entry.like is not None:
            lines += _indented(f"keys: as of {entry.like}", width)
        elif not entry.is_section:
            lines += _indented(f"takes: {entry.expected}", width)
        if entry.default:
            lines += _indented(f"default: {entry.default}", width)
        if entry.setting:
            lines.append(f"    example: {entry.setting}")
        output.print_lines(*lines, "")


def _indented(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
