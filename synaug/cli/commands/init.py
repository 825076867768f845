"""`synaug init`: a first look at the images, and a commented configuration to begin with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synaug.cli import output
from synaug.cli.commands.run import EffortOption, SetOption, with_effort_option
from synaug_core.data.sources import WHAT_TO_GIVE
from synaug_core.errors import UserError

if TYPE_CHECKING:
    from synaug.cli.preview import Preview

__all__ = ["init"]


def init(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help=f"The images: {WHAT_TO_GIVE}.")],
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The YAML file; default: NAME.yaml here.")
    ] = None,
    set_: SetOption = None,
    effort: EffortOption = None,
) -> None:
    """Look at the images, say what a run would do with them, and write a configuration with comments to begin with.

    Nothing is started and nothing is computed. A file that is there already is left as it is.
    """
    from synaug.cli.preview import preview
    from synaug_core.config import load

    overrides = with_effort_option(set_, effort)
    values = load.starting_values(source)
    for text in overrides:
        load.override(values, text)
    config = load.checked(values)
    target = file or Path(f"{config.name}.yaml")
    if target.exists():
        raise UserError(f"--output: {target} is there already; name another file, or remove it")
    output.check_place(target, "--output")
    view = preview(config)
    output.print_sentences(*view.lines())
    output.write_whole(_yaml(view, values, target), target)
    output.print_lines(f"Written: {target}. Run it with  synaug run {target}  (with --dry-run it only looks again)")


def _yaml(view: "Preview", values: dict[str, Any], target: Path) -> str:
    from synaug_core.config.template import template

    folder = target.resolve().parent
    data = {
        key: _short(value, folder) if key in ("source", "metadata") else value for key, value in values["data"].items()
    }
    return template({**values, "data": data}, view.lines())


def _short(place: str, folder: Path) -> str:
    """A path as it is written in a file that lies in `folder`."""
    path = Path(place)
    if not path.is_absolute() or not path.is_relative_to(folder):
        return place
    return f"./{path.relative_to(folder)}"
