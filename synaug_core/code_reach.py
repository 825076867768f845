"""Which of this project's code a function or a module can reach: read from the imports, so that nobody keeps a list.

Of the core a whole file counts as soon as something of it is imported, at the top or inside a function; imports that
only type checkers see do not count. Outside the core, where a file holds several steps, single definitions count.
"""

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from synaug_core.digests import library_versions, of_bytes, of_file, of_value
from synaug_core.plugins import plugin_sources

__all__ = ["code_behind", "imported_modules", "module_version", "reached_code", "reached_modules", "records_only"]

Function = TypeVar("Function", bound=Callable[..., Any])

ROOT = Path(__file__).resolve().parent.parent
_CORE = "synaug_core"
_PACKAGES = (_CORE, "tasks")
"""Packages whose code is followed; that of libraries counts by their versions."""
_ASIDE = ("synaug_core.services", "tasks.engine.step", "tasks.engine.recording")
"""Where things lie and how they are shown: no number depends on it, so imports are not followed there."""
_MARK = "records_only"
_PLUGINS = "synaug_core.plugins"
_FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+\S.*\n|\n)+", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|.+)|import[ \t]+(.+))$", re.MULTILINE)


def records_only(function: Function) -> Function:
    """Mark a step's helper that only draws or writes down what was computed: its code is no part of the step's key."""
    return function


def code_behind(function: Callable[..., Any], source: str) -> str:
    """The version of all code that a function can reach: files of the core, definitions of other packages, the
    numeric libraries, and the plugins where their loader is reached.

    Args:
        function: any function of a module's top level.
        source: its source, as `inspect.getsource` gives it.
    """
    return _version(reached_code(function, source))


@functools.cache
def module_version(module: str) -> str:
    """The version of all code that a module of the core can reach."""
    return _version({name: _digest(name) for name in reached_modules(module)})


def reached_code(function: Callable[..., Any], source: str) -> dict[str, str]:
    """Module of the core, or `module:name` of a definition elsewhere -> digest of its source."""
    name = function.__module__
    home = _module(name) if _path(name) else _Module(Path(inspect.getsourcefile(function) or ""), name)
    node = ast.parse(textwrap.dedent(source)).body[0]
    code = {f"{function.__module__}:{function.__qualname__}": of_bytes(source.encode())}
    core: set[str] = set()
    waiting = [(home, node)]
    while waiting:
        module, node = waiting.pop()
        for target, name in module.uses(node):
            if target.startswith(_CORE):
                core.add(target)
            elif (key := f"{target}:{name}") not in code:
                owner = home if target == home.name else _module(target)
                definition = owner.definitions.get(name)
                if definition is not None and not _is_marked(definition):
                    code[key] = owner.digest_of(definition)
                    waiting.append((owner, definition))
    return code | {name: _digest(name) for name in sorted({m for c in core for m in reached_modules(c)})}


@functools.cache
def reached_modules(module: str) -> frozenset[str]:
    """A module of the core, and all modules of it that can be reached from there."""
    modules: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in modules and not _is_aside(name):
            modules.add(name)
            waiting += imported_modules(name)
    return frozenset(modules)


@functools.cache
def imported_modules(module: str) -> tuple[str, ...]:
    """The modules of the core that a module imports anywhere, with the packages that they lie in."""
    text = _FOR_TYPES.sub("", _file(module).read_text(encoding="utf-8"))
    targets: list[str] = []
    for base, names, modules in _IMPORT.findall(text):
        if base.startswith(_CORE):
            targets += [_target(base, name) for name in _listed(names)]
        elif not base:
            targets += [name for name in _listed(modules) if name.startswith(_CORE)]
    parts = [module, *targets]
    return tuple(dict.fromkeys([*targets, *(package for name in parts for package in _packages(name))]))


class _Module:
    """A file outside the core: its definitions, and where its imported names come from."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.definitions: dict[str, ast.stmt] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        text = path.read_text(encoding="utf-8")
        self._lines = text.splitlines()
        for node in ast.parse(text).body:
            self.imported |= _bindings(node)
            for bound in _bound(node):
                self.definitions[bound] = node

    def uses(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        """(module, name) of what a definition uses: a module of the core with any name, or a definition elsewhere."""
        parts = list(ast.walk(node))
        imported = {**self.imported}
        for inner in parts:
            imported |= _bindings(inner)
        for inner in parts:
            if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
                module, name = imported.get(inner.value.id, ("", "x"))
                if module and not name:
                    yield from self._resolve_use(module, inner.attr)
            elif isinstance(inner, ast.Name):
                if inner.id in imported:
                    yield from self._resolve_use(*imported[inner.id])
                elif inner.id in self.definitions:
                    yield self.name, inner.id

    def digest_of(self, node: ast.stmt) -> str:
        """Of a definition's source."""
        return of_bytes("\n".join(self._lines[node.lineno - 1 : node.end_lineno]).encode())

    @staticmethod
    def _resolve_use(module: str, name: str) -> Iterator[tuple[str, str]]:
        if not _is_aside(module) and (module.startswith(_CORE) or name):
            yield module, name


def _bindings(node: ast.AST) -> dict[str, tuple[str, str]]:
    """Name -> (module, name in it) of an import statement of ours; the second is empty for a module itself."""
    if not isinstance(node, ast.ImportFrom) or not node.module or node.module.partition(".")[0] not in _PACKAGES:
        return {}
    bound = {}
    for alias in node.names:
        target = _target(node.module, alias.name)
        bound[alias.asname or alias.name] = (target, alias.name if target == node.module else "")
    return bound


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [t.id for t in node.targets if isinstance(t, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def _is_marked(node: ast.stmt) -> bool:
    return any(ast.unparse(d).rpartition(".")[2] == _MARK for d in getattr(node, "decorator_list", ()))


@functools.cache
def _is_aside(module: str) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in _ASIDE)


def _target(module: str, name: str) -> str:
    """The module that `from module import name` reads: one of that name, or the one that has it."""
    inner = f"{module}.{name}"
    return inner if _path(inner) is not None else module


def _packages(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def _listed(names: str) -> Iterable[str]:
    """Names of an import statement, without comments and aliases."""
    listing = re.sub(r"#.*", "", names).strip().strip("()")
    return (name.split()[0] for name in listing.split(",") if name.strip())


@functools.cache
def _module(name: str) -> _Module:
    return _Module(_file(name), name)


@functools.cache
def _path(module: str) -> Path | None:
    base = ROOT / module.replace(".", "/")
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.exists()), None)


def _file(module: str) -> Path:
    if (path := _path(module)) is None:
        raise ModuleNotFoundError(f"no module {module} in {ROOT}")
    return path


@functools.cache
def _digest(module: str) -> str:
    return of_file(_file(module))


def _version(code: dict[str, str]) -> str:
    plugins = plugin_sources() if _PLUGINS in code else {}
    return of_value({"code": code, "libraries": library_versions(), "plugins": plugins})
