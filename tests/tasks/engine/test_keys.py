from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.context import TaskRunContext
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.serializers import JSONSerializer

from synaug_core import digests
from synaug_core.config import ComputeConfig, Config
from synaug_core.refs import ComparisonRef, DatasetRef, ImageSetRef, RunRef
from tasks.comparison import compare_arms
from tasks.dataset import prepare_dataset
from tasks.engine.keys import StepKey, this_key
from tasks.training import train_repetition


def work(dataset: DatasetRef, config: Config) -> DatasetRef:
    return dataset


KEY = StepKey(work, ("data",))


def moved(reference: Any, place: str) -> Any:
    """The same artifacts somewhere else, made by another run."""
    parts = {s: getattr(reference, s) for s in ("train", "val", "test", "report")}
    parts = {s: r.model_copy(update={"uri": f"s3://{place}/{s}", "run_id": place}) for s, r in parts.items()}
    return reference.model_copy(update={"run_id": place, **parts})


def test_the_key_says_what_is_computed_not_where_or_how_fast(dataset: DatasetRef, parent: RunRef) -> None:
    config = Config()
    key = KEY.of({"dataset": dataset, "config": config, "parent": parent})
    elsewhere = parent.model_copy(update={"run_id": "another", "tags": {"prefect.flow_run_id": "7"}})
    faster = config.model_copy(update={"compute": ComputeConfig(workers=9, deadline=60.0)})
    assert KEY.of({"dataset": moved(dataset, "bucket"), "config": faster, "parent": elsewhere}) == key
    assert KEY.of({"dataset": dataset.model_copy(), "parent": parent, "config": Config()}) == key
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
    before = KEY.of({"dataset": dataset, "config": Config()})
    assert KEY.of({"dataset": dataset, "config": Config().model_copy(update=change)}) != before


def test_the_key_changes_with_the_bytes_of_the_inputs(dataset: DatasetRef) -> None:
    before = KEY.of({"dataset": dataset})
    other = dataset.train.model_copy(update={"sha256": "f" * 64})
    assert KEY.of({"dataset": dataset.model_copy(update={"train": other})}) != before
    assert KEY.of({"dataset": (dataset,)}) != before


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
    assert StepKey(one, ()).of({"x": 1}) != StepKey(other, ()).of({"x": 1})
    assert StepKey(one, ("data",)).of({"x": 1}) != StepKey(one, ("data", "nets")).of({"x": 1})


def test_every_step_knows_the_code_it_calls(root: Path) -> None:
    """What a step imports from the core is among the packages of its key, beside what only draws or records, and what
    every key counts: the configuration and the modules beside the packages."""
    beside = {path.stem for path in (root / "synaug_core").glob("*.py")}
    free = {"report", "services", "serving", "config"} | beside
    for task in (prepare_dataset, train_repetition, compare_arms):
        key = task.cache_key_fn
        assert isinstance(key, StepKey)
        imported = {
            line.split("synaug_core.")[1].split(".")[0].split(" ")[0]
            for line in key._source.splitlines()
            if line.strip().startswith("from synaug_core.")
        }
        assert imported - free <= set(key._packages), task.name


@pytest.mark.parametrize("changed", ["seeds.py", "frozen.py", "data/split.py"])
def test_the_code_of_a_package_counts_and_so_does_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path, changed: str
) -> None:
    monkeypatch.setattr(digests, "_ROOT", tmp_path)
    for name in ("seeds.py", "frozen.py", "data/split.py", "nets/vae.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / "synaug_core" / name, tmp_path / name)
    code = digests.code_version.__wrapped__  # what it remembers is of the real folder
    before = code("data"), code()
    (tmp_path / "nets" / "vae.py").write_text("a package that is not named")
    assert code("data") == before[0]
    assert code() != before[1]
    (tmp_path / changed).write_text("something else")
    assert code("data") != before[0]


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
    key = KEY.of(arguments)
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
    key = KEY.of({"x": 1})
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
    key = KEY.of({"x": 2})
    kept(store, key, (dataset.train, [dataset.test, gone]))
    assert KEY(context, {"x": 2}) == f"{key}-2"
    kept(store, key, [dataset.train, dataset.test])
    assert KEY(context, {"x": 2}) == key
    assert ComparisonRef.model_fields.keys() > comparison.keys()


def test_outside_a_step_there_is_no_key() -> None:
    with pytest.raises(LookupError, match="no step is running"):
        this_key()
