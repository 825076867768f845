"""`synaug doctor`: is this machine ready, and if not, what to do."""

import typer
from rich.console import Console
from rich.text import Text

from synaug.cli import environment, failures

__all__ = ["doctor"]


def doctor(ctx: typer.Context) -> None:
    """Check this machine and its servers, and say how to mend each. Ends with 1 where there is a problem."""
    from synaug.cli.checks import run_checks

    console = Console(highlight=False, soft_wrap=True)
    problems = 0
    for check in run_checks(environment.prepare(ctx.obj)):
        problems += not check.is_well
        mark = Text("OK       ", "green") if check.is_well else Text("PROBLEM  ", "red")
        console.print(mark + Text(f"{check.name:<10} {check.status}", "default"))
        if check.mend:
            console.print(f"{'':<20}{check.mend}", markup=False)
    if problems:
        raise typer.Exit(failures.FAILED)
