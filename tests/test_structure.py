"""The shape of the project, read from its files: who imports whom, how it reads, what stands once, what is locked."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from synaug_core.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent
# From the bottom up: a package imports only those before it.
LAYERS = ("synaug_core", "tasks", "flows", "deployments", "synaug")
SCIENCE = ("data", "nets", "generators", "synthesis", "quality", "classify", "evaluate")
SCIENCE += ("probes", "turing", "drift", "report")
LOCKS = ("requirements.lock", "requirements-uv.lock", "requirements-runtime.lock")
LOCKS += ("benchmarks/pythae.lock", "tests/s3/swift.lock")
SETTINGS = Path("synaug_core/services/settings.py")
TAGS = Path("synaug_core/services/mlflow/tags.py")
FULLEST_FOLDER = 20
IMPORTS_PER_100_LINES = 7
# Bound names that say nothing of what a thing is: participles and pronouns alone.
EMPTY_NAMES = frozenset(
    re.findall(
        r"\w+",
        """found made told said asked there mine ours theirs look looked looking say tell kept begun at of where here
        going gone wanted known each other others both last go me every silence under exact follow learnt seen""",
    )
)
# Keys of a user's configuration stay as users write them.
CONFIG_KEYS = {("synaug_core/config/synthesis.py", "every")}


@dataclass(frozen=True)
class Import:
    """One imported module, wherever in the file: also inside functions and for type checkers only."""

    file: Path
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"

    def within(self, *packages: str) -> bool:
        return any(self.module == p or self.module.startswith(f"{p}.") for p in packages)


@cache
def sources(*folders: str) -> tuple[Path, ...]:
    """Python files below the folders, relative to the root."""
    return tuple(sorted(p.relative_to(ROOT) for f in folders for p in (ROOT / f).rglob("*.py")))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), filename=str(file))


@cache
def imports(file: Path) -> tuple[Import, ...]:
    found = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found += [Import(file, node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*file.parent.parts[: len(file.parent.parts) + 1 - node.level]] if node.level else [])
            base = ".".join(part for part in (base, node.module) if part)
            # `from package import name` may import a module of that name: both spellings count.
            found += [Import(file, node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return tuple(found)


def offences(files: tuple[Path, ...], *forbidden: str) -> list[str]:
    return [str(i) for file in files for i in imports(file) if i.within(*forbidden)]


@pytest.mark.parametrize("layer", LAYERS)
def test_arrows_point_down_only(layer: str) -> None:
    above = LAYERS[LAYERS.index(layer) + 1 :]
    assert offences(sources(layer), *above, "benchmarks", "tests") == []


def test_the_parts_are_there() -> None:
    assert all(sources(layer) for layer in LAYERS)
    assert any(i.within("synaug_core") for f in sources("tasks") for i in imports(f)), "imports are not being read"


@pytest.mark.parametrize("part", SCIENCE)
def test_science_knows_no_services(part: str) -> None:
    files = sources(f"synaug_core/{part}")
    outside = ("synaug_core.services", "synaug_core.serving", "prefect", "mlflow", "boto3", "botocore")
    assert offences(files, *outside) == []


@pytest.mark.parametrize(
    ("layer", "forbidden"),
    [
        ("flows", ("torch", "torchvision", "mlflow", "optuna", "boto3")),
        ("deployments", ("torch", "torchvision", "mlflow", "optuna", "boto3")),
        ("tasks", ("mlflow", "optuna", "timm", "boto3")),
        ("synaug", ("mlflow", "optuna", "timm", "boto3", "prefect")),
    ],
)
def test_upper_layers_leave_the_work_to_those_below(layer: str, forbidden: tuple[str, ...]) -> None:
    assert offences(sources(layer), *forbidden) == []


def test_services_know_no_service_built_on_them() -> None:
    assert offences(sources("synaug_core/services"), "synaug_core.serving") == []


def test_libraries_have_their_place() -> None:
    outside = tuple(f for f in sources(*LAYERS) if not f.is_relative_to("synaug_core/services"))
    assert offences(outside, "mlflow", "boto3", "botocore") == []
    assert offences(sources("synaug_core", "synaug"), "prefect") == []


@pytest.mark.parametrize("library", ["timm", "optuna", "diffusers"])
def test_one_file_knows_the_library(library: str) -> None:
    users = {i.file for f in sources(*LAYERS) for i in imports(f) if i.within(library)}
    assert len(users) <= 1
    assert all(user.is_relative_to("synaug_core") for user in users)
    if library != "diffusers":
        assert all(user.is_relative_to("synaug_core/classify") for user in users)


def environment_uses(file: Path) -> list[tuple[int, bool]]:
    """(line, whether it only sets) of each use of the environment in a file."""
    module = tree(file)
    parents = {child: node for node in ast.walk(module) for child in ast.iter_child_nodes(node)}
    uses = []
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            uses += [(node.lineno, False) for a in node.names if a.name in {"environ", "environb", "getenv"}]
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"):
            continue
        if node.attr in {"getenv", "getenvb"}:
            uses.append((node.lineno, False))
        elif node.attr in {"environ", "environb"}:
            user = parents[node]
            stored = isinstance(user, ast.Subscript) and isinstance(user.ctx, ast.Store | ast.Del)
            setter = isinstance(user, ast.Attribute) and user.attr in {"setdefault", "update", "pop"}
            # These give a value back: a read, unless nobody takes it.
            dropped = setter and isinstance(parents.get(parents[user]), ast.Expr)
            uses.append((node.lineno, stored or dropped))
    return uses


def test_one_file_reads_the_environment() -> None:
    readers: list[str] = []
    setters: list[str] = []
    for file in sources(*LAYERS):
        for line, only_sets in environment_uses(file):
            (setters if only_sets else readers).append(f"{file}:{line}")
    assert all(reader.startswith(f"{SETTINGS}:") for reader in readers), readers
    assert all(setter.startswith(("synaug/cli/", f"{SETTINGS}:")) for setter in setters), setters


def test_randomness_is_never_the_global_stream() -> None:
    drawing = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}
    found = []
    checked = [f for f in sources(*LAYERS) if not f.is_relative_to("synaug_core/testing")]  # which provokes it
    for file in checked:
        for node in ast.walk(tree(file)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            name = ast.unparse(node.func)
            given = {keyword.arg for keyword in node.keywords}
            global_draw = name.removeprefix("torch.") in drawing and name.startswith("torch.")
            if global_draw and not given & {"generator", None}:
                found.append(f"{file}:{node.lineno} {name} without generator=")
            if name in {"torch.manual_seed", "random.seed", "np.random.seed"} and file.name != "seeds.py":
                found.append(f"{file}:{node.lineno} {name}")
    assert not found


@pytest.mark.parametrize("module", ["synaug_core", "synaug", "synaug_core.config", "synaug.cli.main"])
def test_import_is_light(module: str) -> None:
    heavy = ["torch", "mlflow", "prefect", "optuna", "timm", "sklearn", "matplotlib", "pandas"]
    code = f"import sys, {module}; print(*sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_no_folder_is_too_full() -> None:
    folders = Counter(str(f.parent) for f in sources(*LAYERS) if (ROOT / f).stat().st_size)
    assert {folder: n for folder, n in folders.items() if n > FULLEST_FOLDER} == {}


def test_imports_are_few() -> None:
    """Many imports for few lines: a concept that is cut over files, or names imported one by one."""
    statements = sum(isinstance(n, (ast.Import, ast.ImportFrom)) for f in sources(*LAYERS) for n in ast.walk(tree(f)))
    lines = sum((ROOT / f).read_text(encoding="utf-8").count("\n") for f in sources(*LAYERS))
    assert 100 * statements / lines <= IMPORTS_PER_100_LINES


def bound_names(file: Path) -> list[tuple[int, str]]:
    """(line, name) of every variable, argument, function and class."""
    names = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append((node.lineno, node.id))
        elif isinstance(node, ast.arg):
            names.append((node.lineno, node.arg))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append((node.lineno, node.name))
    return names


@pytest.mark.parametrize("layer", LAYERS)
def test_names_say_what_a_thing_is(layer: str) -> None:
    empty = [
        f"{file}:{line} {name}"
        for file in sources(layer)
        for line, name in bound_names(file)
        if name.lower().strip("_") in EMPTY_NAMES and (file.as_posix(), name) not in CONFIG_KEYS
    ]
    assert empty == []


def strings(file: Path) -> list[tuple[int, str]]:
    """(line, text) of every string of the code; docstrings and parts of f-strings too."""
    nodes = [n for n in ast.walk(tree(file)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [(n.lineno, n.value) for n in nodes]


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir()


def test_tags_are_declared_once() -> None:
    declared = [text for _, text in strings(TAGS) if re.fullmatch(r"synaug\.[a-z_.]+", text)]
    assert len(declared) == len(set(declared)) > 10
    elsewhere = [
        f"{file}:{line} {text}"
        for file in sources(*LAYERS)
        for line, text in strings(file)
        if file != TAGS and text in declared and not is_module(text)
    ]
    assert elsewhere == []


def test_metrics_are_named_once() -> None:
    """But for the metric a function is about, nobody lists metrics: whoever shows them reads the catalogue."""
    titles = {metric.title for metric in METRICS.values()} - METRICS.keys()
    repeated = [
        f"{file}:{line} {text}"
        for file in sources(*LAYERS)
        for line, text in strings(file)
        if file != Path("synaug_core/metrics.py") and text in titles
    ]
    assert repeated == []


def literal_choices(file: Path) -> list[tuple[int, tuple[str, ...]]]:
    """(line, choices) of every `Literal[...]` of three words or more."""
    nodes = [
        n for n in ast.walk(tree(file)) if isinstance(n, ast.Subscript) and ast.unparse(n.value).endswith("Literal")
    ]
    choices = [(n.lineno, tuple(c.value for c in ast.walk(n.slice) if isinstance(c, ast.Constant))) for n in nodes]
    return [(line, words) for line, words in choices if len(words) > 2 and all(isinstance(w, str) for w in words)]


def test_lists_of_words_stand_once() -> None:
    places: dict[frozenset[str], list[str]] = {}
    for file in sources(*LAYERS):
        for line, words in literal_choices(file):
            places.setdefault(frozenset(words), []).append(f"{file}:{line}")
    assert {", ".join(sorted(words)): where for words, where in places.items() if len(where) > 1} == {}


@pytest.mark.parametrize("name", LOCKS)
def test_locks_pin_everything_and_name_no_index(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-(?!-hash=)", text, re.MULTILINE)
    entries = re.split(r"\n(?=[A-Za-z0-9])", text)
    for entry in (e for e in entries if not e.startswith("#")):
        assert re.match(r"[A-Za-z0-9._-]+(\[[^]]*\])?==[^ ]+", entry), entry.splitlines()[0]
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def requirement_lines() -> list[str]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.findall(r"^(?:dependencies|dev) = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    return [line for block in lists for line in block.splitlines()]


def test_every_dependency_says_why() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    lines = requirement_lines()
    assert len(lines) == len(declared)
    assert [line for line in lines if not re.match(r'\s*"[^"]+",?\s*# \S', line)] == []


def test_every_dependency_is_locked() -> None:
    def plain(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {plain(m) for m in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", lock, re.MULTILINE)}
    wanted = {plain(m) for line in requirement_lines() for m in re.findall(r'"([A-Za-z0-9._-]+)', line)}
    assert wanted - locked == set()
    assert {"hatchling", "editables"} <= locked, "set-up builds the package without fetching anything"


def test_everything_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    declared = {re.split(r"[^A-Za-z0-9._-]", line)[0] for line in lines}
    brought = {
        "annotated_types": "pydantic",
        "botocore": "boto3",
        "dask": "distributed",
        "onnx": "onnx",  # an extra that need not be installed here
        "onnxruntime": "onnxruntime",
        "urllib3": "boto3",
    }  # parts of those
    known = packages_distributions()
    undeclared = []
    for found in (i for file in sources(*LAYERS) for i in imports(file)):
        name = found.module.partition(".")[0]
        if name in LAYERS or name in sys.stdlib_module_names:
            continue
        if (
            not {d.lower().replace("_", "-") for d in known.get(name, (name,))} & declared
            and brought.get(name) not in declared
        ):
            undeclared.append(str(found))
    assert undeclared == []


def test_the_docker_folder_hides_no_package() -> None:
    assert not (ROOT / "docker" / "__init__.py").exists()
