"""Back up and restore: `python -m scripts.backup home DIR`, `python -m scripts.backup restore-home DIR`, and the same
for the native stack with `stack` and `restore-stack`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from synaug_core.errors import SynaugError, UserError


def main() -> int:
    """Exit code: 0, 2 where the user's input is at fault, 1 for anything else; with one line that says why."""
    parser = argparse.ArgumentParser(prog="python -m scripts.backup", description=__doc__)
    parser.add_argument("action", choices=["home", "restore-home", "stack", "restore-stack"])
    parser.add_argument("backup", type=Path, metavar="DIR", help="folder of the backup; a new one for each")
    parser.add_argument("--home", type=Path, help="default: SYNAUG_HOME, for the stack .synaug/stack")
    parser.add_argument("--overwrite", action="store_true", help="restore although there is something already")
    given = parser.parse_args()
    try:
        print(_home(given) if given.action.endswith("home") else _stack(given))
    except SynaugError as error:
        print(f"backup: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    return 0


def _home(given: argparse.Namespace) -> str:
    from scripts.backup.home import back_up_home, restore_home
    from synaug_core.services.settings import settings

    if given.action == "home":
        current = settings({"SYNAUG_HOME": str(given.home)} if given.home else None)
        return f"{back_up_home(current, given.backup)} files of {current.home} are in {given.backup}"
    home = given.home or settings().home
    aside = restore_home(given.backup, home, overwrite=given.overwrite)
    note = f"; what was there before is in {aside}" if aside else ""
    return f"{home} is what {given.backup} holds{note}"


def _stack(given: argparse.Namespace) -> str:
    from scripts.backup.stack import back_up_stack, restore_stack

    home = (given.home or Path(".synaug/stack")).resolve()
    if given.action == "stack":
        return f"{back_up_stack(home, given.backup)} files of the stack in {home} are in {given.backup}"
    restore_stack(given.backup, home, overwrite=given.overwrite)
    return f"the stack in {home} is what {given.backup} holds"


if __name__ == "__main__":
    sys.exit(main())
