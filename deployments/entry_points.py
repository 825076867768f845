"""Whether a worker of this machine will find the flows where they are: no other module of their names before them."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec

from synaug_core import errors

__all__ = ["MODULES", "check_entry_points"]

MODULES = (
    *("flows.retrain", "flows.check_data", "flows.promote", "flows.rollback", "flows.sweep", "flows.report_failure"),
    *("tasks.dataset", "synaug_core.config"),
)
"""What deployments name, and a module of each package that these import."""
_PLACES = """
import importlib.util, json, sys

def place(name):
    try:
        return importlib.util.find_spec(name).origin
    except BaseException:
        return None

print(json.dumps({name: place(name) for name in sys.argv[1:]}))
"""
_SECONDS = 60


def check_entry_points(environment: Mapping[str, str]) -> None:
    """Ask a process that starts as a worker's runs do, in an empty folder, where it finds the modules.

    Args:
        environment: of that process, all of it.

    Raises:
        UserError: it finds another file than this process, or none.
    """
    with tempfile.TemporaryDirectory(prefix="synaug-") as folder:
        answer = subprocess.run(  # noqa: S603 - our own interpreter and fixed arguments
            [sys.executable, "-c", _PLACES, *MODULES],
            env=dict(environment),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    places: dict[str, str | None] = json.loads(answer.stdout.splitlines()[-1])
    for name in MODULES:
        spec = find_spec(name)
        if spec is None or places[name] != spec.origin:
            raise errors.UserError(
                f"a worker would load {name} from {places[name] or 'nowhere'}, and synaug's is "
                f"{spec.origin if spec else 'nowhere'}; rename what is in the way, or take its folder out of PYTHONPATH"
            )
