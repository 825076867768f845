"""Generators and strategies from outside the package, found through entry points.

A distribution announces them in its metadata, in the groups `synaug.generators` (name = kind, value = the class) and
`synaug.strategies` (value = an `Entry`). Names are read from the metadata; the code is imported when a name is used.
"""

from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from synaug_core import digests, errors

__all__ = ["GENERATORS", "STRATEGIES", "Group", "load_plugin", "plugin_names", "plugin_sources", "plugin_versions"]

Group = Literal["synaug.generators", "synaug.strategies"]
GENERATORS: Group = "synaug.generators"
STRATEGIES: Group = "synaug.strategies"


def plugin_names(group: Group) -> tuple[str, ...]:
    """Names announced in a group, sorted. Nothing of theirs is imported."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def plugin_versions() -> dict[str, str]:
    """What is announced and by whom: "group/name" -> "distribution version", for the record of a run."""
    points = [p for group in (GENERATORS, STRATEGIES) for p in entry_points(group=group)]
    return {f"{p.group}/{p.name}": _owner(p) for p in sorted(points, key=lambda p: (p.group, p.name, _owner(p)))}


def plugin_sources() -> dict[str, str]:
    """Digest of the source of every plugin: "group/name" -> hex, what a cached result of theirs depends on.

    All Python files of the module or package that the entry point names, read without importing them; an edited
    file gives another digest though the distribution's version stays. One that is not there has an empty digest.
    """
    points = [p for group in (GENERATORS, STRATEGIES) for p in entry_points(group=group)]
    return {f"{p.group}/{p.name}": _digest(p.module.partition(".")[0]) for p in sorted(points)}


def load_plugin(group: Group, name: str) -> Any:
    """The object announced under a name, imported now; None where there is none.

    Raises:
        ConfigError: it cannot be imported, or two distributions announce different things under the name.
    """
    # a distribution found twice on the path announces the same thing twice
    points = {(p.value, _owner(p)): p for p in entry_points(group=group, name=name)}
    if not points:
        return None
    if len(points) > 1:
        owners = ", ".join(sorted(owner for _, owner in points))
        raise errors.ConfigError(
            f"plugin {name!r} ({group}) is announced more than once: {owners}; uninstall all but one"
        )
    point = next(iter(points.values()))
    try:
        return point.load()
    except Exception as error:  # a plugin's module may fail in any way, and the user has to hear which one did
        reason = " ".join(str(error).split())[:200] or "no message"
        origin = f"{point.value} of {_owner(point)}"
        raise errors.ConfigError(
            f"plugin {name!r} ({group}): {origin} cannot be imported: {type(error).__name__}: {reason}"
        ) from error


def _digest(module: str) -> str:
    spec = PathFinder.find_spec(module)
    if spec is None:
        return ""
    if spec.submodule_search_locations:
        folders = [Path(f) for f in spec.submodule_search_locations]
        files = {str(f.relative_to(top)): f for top in folders for f in sorted(top.rglob("*.py"))}
    else:
        files = {module: Path(spec.origin)} if spec.origin else {}
    return digests.of_value({name: digests.of_file(file) for name, file in files.items()})


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
