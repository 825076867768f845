from __future__ import annotations

import ast
import importlib
import pkgutil
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import Task
from prefect.context import TaskRunContext
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.serializers import JSONSerializer

import tasks
from synaug_core import code_reach
from synaug_core.config import ComputeConfig, Config
from synaug_core.refs import ComparisonRef, DatasetRef, ImageSetRef, RunRef
from tasks.engine.step import StepKey, this_key


def work(dataset: DatasetRef, config: Config) -> DatasetRef:
    return dataset


KEY = StepKey(work)


def moved(reference: Any, place: str) -> Any:
    """The same artifacts somewhere else, made by another run."""
    parts = {s: getattr(reference, s) for s in ("train", "val", "test", "report")}
    parts = {s: r.model_copy(update={"uri": f"s3://{place}/{s}", "run_id": place}) for s, r in parts.items()}
    return reference.model_copy(update={"run_id": place, **parts})


def test_the_key_says_what_is_computed_not_where_or_how_fast(dataset: DatasetRef, parent: RunRef) -> None:
    config = Config()
    key = KEY.compute({"dataset": dataset, "config": config, "parent": parent})
    elsewhere = parent.model_copy(update={"run_id": "another", "tags": {"prefect.flow_run_id": "7"}})
    faster = config.model_copy(update={"compute": ComputeConfig(workers=9, deadline=60.0)})
    assert KEY.compute({"dataset": moved(dataset, "bucket"), "config": faster, "parent": elsewhere}) == key
    assert KEY.compute({"dataset": dataset.model_copy(), "parent": parent, "config": Config()}) == key
    assert len(key) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"repetitions": 7},
        {"compute": ComputeConfig(threads=2)},
        {"compute": ComputeConfig(device="cpu")},
        {"arms": tuple(reversed(Config().arms))},
    ],
)
def test_the_key_changes_with_what_can_change_a_result(dataset: DatasetRef, change: dict[str, Any]) -> None:
    before = KEY.compute({"dataset": dataset, "config": Config()})
    assert KEY.compute({"dataset": dataset, "config": Config().model_copy(update=change)}) != before


def test_the_key_changes_with_the_bytes_of_the_inputs(dataset: DatasetRef) -> None:
    before = KEY.compute({"dataset": dataset})
    other = dataset.train.model_copy(update={"sha256": "f" * 64})
    assert KEY.compute({"dataset": dataset.model_copy(update={"train": other})}) != before
    assert KEY.compute({"dataset": (dataset,)}) != before


def test_the_key_changes_with_the_code() -> None:
    def inner(source: str) -> Callable[..., Any]:
        if source == "one":

            def same(x: int) -> int:
                return x

        else:

            def same(x: int) -> int:
                return x + 1

        return same

    one, other = inner("one"), inner("other")
    assert StepKey(one).compute({"x": 1}) != StepKey(other).compute({"x": 1})


def all_steps() -> dict[str, Any]:
    """Every step of the project by its name."""
    modules = [importlib.import_module(module.name) for module in pkgutil.walk_packages(tasks.__path__, "tasks.")]
    found = {v.name: v for module in modules for v in vars(module).values() if isinstance(v, Task)}
    return {name: task for name, task in found.items() if isinstance(task.cache_key_fn, StepKey)}


STEPS = all_steps()


@pytest.fixture
def copied(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project's code in a folder where it may be edited, and nothing remembered of the real one."""
    for package in ("synaug_core", "tasks"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_reach, "ROOT", tmp_path)
    forget()
    yield tmp_path
    monkeypatch.undo()
    forget()


def forget() -> None:
    for function in vars(code_reach).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def code_of(name: str) -> str:
    key = STEPS[name].cache_key_fn
    return code_reach.code_behind(key._function, key._source)


def test_there_are_steps() -> None:
    assert {"prepare-dataset", "fit-group", "train-repetition", "compare-arms", "write-report"} <= STEPS.keys()


def test_a_steps_code_is_read_from_its_imports(copied: Path) -> None:
    """An edit of any module of the core changes the code of just the steps that can reach it."""
    before = {name: code_of(name) for name in STEPS}
    reached = {name: set(code_reach.reached_code(s.fn, s.cache_key_fn._source)) for name, s in STEPS.items()}
    modules = sorted({module for names in reached.values() for module in names if module.startswith("synaug_core")})
    never = "synaug_core.services.settings"
    assert not any(never in names for names in reached.values())
    for module in (*modules[::9], never):
        file = code_reach._file(module)
        text = file.read_text()
        file.write_text(f"{text}\n# another line\n")
        forget()
        changed = {name for name in STEPS if code_of(name) != before[name]}
        assert changed == {name for name in STEPS if module in reached[name]}, module
        file.write_text(text)


def test_a_helpers_edit_changes_the_steps_that_call_it_alone(copied: Path) -> None:
    before = {name: code_of(name) for name in STEPS}
    file = copied / "tasks" / "training.py"
    file.write_text(file.read_text().replace("part = 1.0 if share is None else share", "part = share or 1.0"))
    forget()
    assert {name for name in STEPS if code_of(name) != before[name]} == {"train-repetition", "run-trial"}


@pytest.mark.parametrize("package", ["synthesis", "generators", "classify", "quality", "evaluate", "report"])
def test_the_report_is_written_again_after_an_edit_of_what_it_quotes(package: str) -> None:
    step = STEPS["write-report"]
    reached = code_reach.reached_code(step.fn, step.cache_key_fn._source)
    assert any(module.startswith(f"synaug_core.{package}.") for module in reached)


@pytest.mark.parametrize("name", ["fit-group", "synthesise-group", "prepare-dataset", "assess-images"])
def test_an_edit_of_a_picture_trains_and_makes_nothing_again(name: str) -> None:
    reached = code_reach.reached_code(STEPS[name].fn, STEPS[name].cache_key_fn._source)
    assert not any(module.startswith("synaug_core.report") for module in reached)


def test_imports_are_read_as_python_reads_them(root: Path) -> None:
    for path in sorted((root / "synaug_core").rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                node.body = []
        imported = {
            code_reach._target(node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("synaug_core")
            for alias in node.names
        }
        assert imported <= set(code_reach.imported_modules(module)), module


def test_all_keys_together_read_a_file_twice_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for its digest and once for its imports, however many steps reach it."""
    reads: Counter[Path] = Counter()
    opened = Path.open

    def open_counted(path: Path, *args: Any, **options: Any) -> Any:
        reads[path] += 1
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", open_counted)
    forget()
    for name in STEPS:
        code_of(name)
    sources = [count for path, count in reads.items() if path.suffix == ".py"]
    assert len(sources) > 100
    assert max(sources) <= 2


def context_of(store: ResultStore) -> Any:
    """As much of a step's context as its key looks at."""
    construct: Any = TaskRunContext.model_construct
    return construct(result_store=store)


def kept(store: ResultStore, key: str, result: Any) -> None:
    store.write(obj=result, key=key)


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    storage = LocalFileSystem(basepath=str(tmp_path / "results"))
    return ResultStore(result_storage=storage, serializer=JSONSerializer(), cache_result_in_memory=False)


def test_a_result_counts_as_long_as_all_it_points_to_is_there(
    dataset: DatasetRef, stored: Callable[..., ImageSetRef], store: ResultStore, tmp_path: Path
) -> None:
    context = context_of(store)
    arguments: dict[str, Any] = {"dataset": dataset, "config": Config()}
    key = KEY.compute(arguments)
    assert KEY(context, arguments) == key, "nothing kept yet"
    report = tmp_path / "report.json"
    report.write_text("{}")
    whole = dataset.model_copy(update={"report": dataset.report.model_copy(update={"uri": report.as_uri()})})
    kept(store, key, whole)
    assert KEY(context, arguments) == key
    (tmp_path / "val.parquet").unlink()
    assert KEY(context, arguments) == f"{key}-2"
    kept(store, f"{key}-2", whole)
    assert KEY(context, arguments) == f"{key}-3", "the second result has lost its artifact as well"
    stored("val", [0, 1])
    assert KEY(context, arguments) == key


def test_a_result_that_was_half_written_or_made_by_another_version_does_not_count(
    store: ResultStore, tmp_path: Path, dataset: DatasetRef
) -> None:
    context = context_of(store)
    key = KEY.compute({"x": 1})
    kept(store, key, dataset.train)
    file = tmp_path / "results" / key
    text = file.read_text()
    assert store.exists(key)
    for unreadable in (text.replace("counts", "of_an_older_version"), text[: len(text) // 2], ""):
        file.write_text(unreadable)
        assert KEY(context, {"x": 1}) == key
        assert not store.exists(key), "as if there were none: the step runs and writes it whole"


def test_results_may_hold_references_at_any_depth(store: ResultStore, tmp_path: Path, dataset: DatasetRef) -> None:
    context = context_of(store)
    comparison = {"uri": dataset.train.uri, "sha256": dataset.train.sha256, "run_id": "run"}
    gone = dataset.val.model_copy(update={"uri": (tmp_path / "gone").as_uri()})
    key = KEY.compute({"x": 2})
    kept(store, key, (dataset.train, [dataset.test, gone]))
    assert KEY(context, {"x": 2}) == f"{key}-2"
    kept(store, key, [dataset.train, dataset.test])
    assert KEY(context, {"x": 2}) == key
    assert ComparisonRef.model_fields.keys() > comparison.keys()


def test_outside_a_step_there_is_no_key() -> None:
    with pytest.raises(LookupError, match="no step is running"):
        this_key()
