from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from synaug_core.errors import ArtifactError
from synaug_core.refs import RunRef
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.runs import (
    add_inputs,
    add_output,
    adopt,
    describe_experiment,
    finish,
    opened_below,
    recording,
    recording_in,
)
from synaug_core.services.settings import Settings

Make = Callable[..., RunRef]


@pytest.fixture
def parent(new_run: Make) -> RunRef:
    return new_run("parent", **{"synaug.dataset": "test"})


@pytest.fixture
def recorded(current: Settings, parent: RunRef) -> Callable[..., Any]:
    @contextlib.contextmanager
    def record(key: str = "step", **more: Any) -> Iterator[Recorder]:
        with recording(
            current, experiment="synaug/test", key=key, stage="repetition", name=key, parent=parent, **more
        ) as recorder:
            yield recorder

    return record


def run_of(current: Settings, run: RunRef) -> Any:
    return client(current).get_run(run.run_id)


def fail_after_logging(recorder: Recorder, metrics: dict[str, float], text: str) -> None:
    recorder.metrics(metrics)
    raise OSError(text)


def artifacts(current: Settings, run: RunRef) -> Path:
    return Path(run_of(current, run).info.artifact_uri.removeprefix("file://").replace("%20", " "))


def test_everything_said_is_written(current: Settings, recorded: Any, tmp_path: Path):
    import matplotlib.figure
    import plotly.graph_objects

    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "notes.csv").write_text("a,b\n")
    plot = matplotlib.figure.Figure()
    plot.subplots().plot([1, 2])
    with recorded() as r:
        r.params({"steps": 5, "augmentation": {"mirror": "both", "scale": 0.5}, "alpha": (0.0, 1.0), "none": None})
        r.metrics({"test/accuracy": 0.5, "test/class/A b/recall": 1})
        r.curve("loss", [0, 10, 20], [3.0, math.nan, 1.0])
        r.tags({"synaug.arm": "original"})
        r.figure(plot, "figures/loss.png")
        r.figure(Image.new("L", (4, 4)), "figures/sheet.png")
        r.figure(plotly.graph_objects.Figure(), "figures/importance.html")
        r.json({"class": "Ä"}, "report.json")
        r.text("hello", "notes/hello.txt")
        r.file(notes / "notes.csv", "tables/other.csv")
        r.folder(notes, "folder")
    run = run_of(current, r.run)
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "steps": "5",
        "augmentation.mirror": "both",
        "augmentation.scale": "0.5",
        "alpha": "[0.0, 1.0]",
        "none": "None",
    }
    assert run.data.metrics == {"test/accuracy": 0.5, "test/class/A b/recall": 1.0, "loss": 1.0}
    assert [m.step for m in client(current).get_metric_history(r.run.run_id, "loss")] == [0, 20]
    assert run.data.tags["synaug.arm"] == "original"
    folder = artifacts(current, r.run)
    assert Image.open(folder / "figures/sheet.png").size == (4, 4)
    assert (folder / "figures/loss.png").stat().st_size > 1000
    assert "plotly" in (folder / "figures/importance.html").read_text()[:5000].lower()
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == {"class": "Ä"}
    assert (folder / "notes/hello.txt").read_text() == "hello"
    assert (folder / "tables/other.csv").read_text() == (folder / "folder/notes.csv").read_text() == "a,b\n"


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_undefined_is_left_out(current: Settings, recorded: Any, value: float | None):
    with recorded() as r:
        r.metrics({"a": value, "b": 1.0})
    assert run_of(current, r.run).data.metrics == {"b": 1.0}


def test_many_values_go_in_pieces(current: Settings, recorded: Any):
    with recorded() as r:
        r.curve("loss", range(2500), [float(i) for i in range(2500)])
        r.params({f"p{i}": i for i in range(150)})
        r.tags({f"t{i}": i for i in range(150)})
    run = run_of(current, r.run)
    assert len(client(current).get_metric_history(r.run.run_id, "loss")) == 2500
    assert len(run.data.params) == 150
    assert run.data.tags["t149"] == "149"


@pytest.mark.parametrize("ends", ["failed", "finished"])
def test_done_again_leaves_one_trace(current: Settings, recorded: Any, ends: str):
    def work(r: Recorder) -> None:
        r.params({"steps": 5})
        r.curve("loss", [0, 1], [2.0, 1.0])
        r.metrics({"score": 0.5})
        r.dataset_input(pd.DataFrame({"id": ["a"]}), name="d", digest="x" * 64, context="train")

    with contextlib.suppress(OSError), recorded() as first:
        work(first)
        if ends == "failed":
            raise OSError("disk")
    assert run_of(current, first.run).info.status == ends.upper()
    with recorded() as second:
        work(second)
        second.metrics({"new": 1.0})
    assert first.run.run_id == second.run.run_id
    for name, points in {"loss": 2, "score": 1, "new": 1}.items():
        assert len(client(current).get_metric_history(second.run.run_id, name)) == points
    run = run_of(current, second.run)
    assert len(run.inputs.dataset_inputs) == 1
    assert run.info.status == "FINISHED"
    assert "synaug.error" not in run.data.tags


def test_a_changed_parameter_is_told_and_does_not_fail_the_step(current: Settings, recorded: Any):
    with contextlib.suppress(OSError), recorded() as r:
        r.params({"threads": 1, "steps": 5})
        raise OSError("disk")
    with recorded() as r:
        r.params({"threads": 2, "steps": 5})
    run = run_of(current, r.run)
    assert run.data.params["threads"] == "1"
    assert run.data.tags["synaug.changed_params"] == "threads"


def test_a_failure_says_why_in_one_line_without_secrets(current: Settings, recorded: Any):
    with pytest.raises(OSError, match="refused"), recorded() as r:
        fail_after_logging(r, {"loss": 1.0}, "postgresql://me:hunter2@host refused\nlong story")
    run = run_of(current, r.run)
    assert run.info.status == "FAILED"
    assert run.data.tags["synaug.error"] == "OSError: postgresql://***@host refused"
    assert run.data.metrics == {"loss": 1.0}


def test_an_interrupted_step_is_killed_and_an_expected_error_ends_well(current: Settings, recorded: Any):
    with pytest.raises(KeyboardInterrupt), recorded("one") as r:
        raise KeyboardInterrupt
    assert run_of(current, r.run).info.status == "KILLED"
    with pytest.raises(StopAsyncIteration), recorded("two", expected=(StopAsyncIteration,)) as r:
        raise StopAsyncIteration
    assert run_of(current, r.run).info.status == "FINISHED"
    assert run_of(current, r.run).data.tags["synaug.outcome"] == "StopAsyncIteration"


def test_a_store_that_fails_does_not_hide_the_step_s_own_error(recorded: Any, caplog: pytest.LogCaptureFixture):
    with pytest.raises(OSError, match="disk"), recorded() as r:
        fail_after_logging(r, {"no % such name": 1.0}, "disk")
    assert "could not be closed" in caplog.text


def test_recording_may_leave_the_run_open(current: Settings, parent: RunRef):
    with recording_in(parent, ends=False) as r:
        r.metrics({"score": 1.0})
        r.flush()
        assert run_of(current, parent).data.metrics == {"score": 1.0}
    assert run_of(current, parent).info.status == "RUNNING"


@pytest.mark.parametrize("path", ["../out.txt", "/etc/out.txt", "a/../../out.txt", ""])
def test_artifacts_stay_in_their_run(recorded: Any, path: str):
    with pytest.raises(ValueError, match="within the run"), recorded() as r:
        r.text("x", path)


def test_no_secret_reaches_params_tags_or_inputs(current: Settings, recorded: Any):
    table = pd.DataFrame({"id": ["a", "b"], "label": ["x", "y"], "split": "train", "group": ["a", "b"]})
    address = "https://me:hunter2@host/data?X-Amz-Signature=hunter2"
    with recorded(tags={"where": address}) as r:
        r.params({"source": address})
        r.tags({"source": address})
        r.dataset_input(table, name="wbc-train", digest="0" * 64, context="train", source=address)
    run = run_of(current, r.run)
    assert "hunter2" not in str(run.to_dictionary())
    [found] = run.inputs.dataset_inputs
    assert found.dataset.name == "wbc-train"
    assert found.dataset.digest == "0" * 36
    assert "https://host/data" in found.dataset.source
    assert json.loads(found.dataset.profile)["num_rows"] == 2
    assert [t.value for t in found.tags] == ["train"]


def test_an_image_set_is_an_input_without_its_pixels(current: Settings, recorded: Any):
    import torch

    from synaug_core.data.imageset import ImageSet

    images = ImageSet(
        images=torch.zeros(2, 1, 4, 4, dtype=torch.uint8),
        labels=torch.tensor([1, 0]),
        classes=("A", "B"),
        ids=("one", "two"),
        groups=("g", "h"),
        provenance=("{}", "{}"),
    )
    with recorded() as r:
        r.dataset_input(images, name="d", digest="f" * 64, context="test")
    [found] = run_of(current, r.run).inputs.dataset_inputs
    columns = [c["name"] for c in json.loads(found.dataset.schema)["mlflow_colspec"]]
    assert columns == ["id", "label", "split", "group"]


def test_a_reused_step_is_shown_below_the_retraining_that_reuses_it(
    current: Settings, recorded: Any, parent: RunRef, new_run: Make
):
    with recorded() as r:
        r.params({"steps": 5})
        r.curve("loss", [0, 1], [2.0, 1.0])
    finish(parent)
    later = new_run("later", **{"prefect.flow_run_id": "later"})
    stand_in = adopt(r.run.run_id, later)
    assert adopt(r.run.run_id, later) == stand_in
    assert adopt(stand_in.run_id, later) == stand_in
    assert adopt(r.run.run_id, parent).run_id == r.run.run_id
    found, original = run_of(current, stand_in), run_of(current, r.run)
    assert found.data.params == original.data.params
    assert found.data.metrics == original.data.metrics == {"loss": 1.0}
    assert found.info.status == "FINISHED"
    assert (found.info.start_time, found.info.end_time) == (original.info.start_time, original.info.end_time)
    tags = found.data.tags
    assert tags["synaug.reused_from"] == r.run.run_id
    assert tags["mlflow.parentRunId"] == later.run_id
    assert tags["prefect.flow_run_id"] == "later"
    assert tags["synaug.stage"] == "repetition"
    assert f"/runs/{r.run.run_id}?" in tags["mlflow.note.content"]


def test_what_this_process_opened_is_known_without_asking(new_run: Make):
    top, other = new_run("top"), new_run("other")
    middle = new_run("middle", top)
    leaf = new_run("leaf", middle)
    assert opened_below(leaf.run_id, middle)
    assert opened_below(leaf.run_id, top)
    assert opened_below(middle.run_id, top)
    assert not opened_below(leaf.run_id, other)
    assert not opened_below(top.run_id, top)
    assert not opened_below(middle.run_id, leaf)
    assert not opened_below("0" * 32, top)


def test_a_run_deep_below_needs_no_stand_in(new_run: Make):
    parent = new_run("p")
    leaf = new_run("l", new_run("a", parent))
    assert adopt(leaf.run_id, parent).run_id == leaf.run_id


def test_a_stand_in_whose_step_is_done_again_is_its_own_run(current: Settings, new_run: Make):
    old, later = new_run("old"), new_run("later")
    step = new_run("step", old)
    finish(step)
    stand_in = adopt(step.run_id, later)
    with recording(current, experiment="synaug/test", key="step", stage="s", name="step", parent=later) as r:
        r.metrics({"score": 1.0})
    assert r.run.run_id == stand_in.run_id
    tags = run_of(current, stand_in).data.tags
    assert "synaug.reused_from" not in tags
    assert "mlflow.note.content" not in tags


def test_a_run_that_is_gone_cannot_be_reused(parent: RunRef):
    with pytest.raises(ArtifactError, match="is gone"):
        adopt("0" * 32, parent)


def test_parameters_that_another_writes_at_the_same_moment(current: Settings, new_run: Make):
    """Between what MLflow's store reads and what it writes, the same retraining in another process was faster."""
    from mlflow.store.tracking.dbmodels.models import SqlParam
    from sqlalchemy import Connection, event
    from sqlalchemy.orm import Session

    run, others = new_run("shared"), [SqlParam.__table__.insert().values(key="steps", value="5")]

    def write_first(session: Session, *_: Any) -> None:
        if others and any(isinstance(row, SqlParam) for row in session.new):
            other: Connection
            with session.get_bind().connect() as other:
                other.execute(others.pop().values(run_uuid=run.run_id))
                other.commit()

    event.listen(Session, "before_flush", write_first)
    try:
        with recording_in(run) as r:
            r.params({"steps": 5, "width": 8})
            r.metrics({"test/accuracy": 0.5})
    finally:
        event.remove(Session, "before_flush", write_first)
    assert not others
    assert run_of(current, run).data.params == {"steps": "5", "width": "8"}
    assert run_of(current, run).data.metrics == {"test/accuracy": 0.5}


def test_details_are_rows_of_one_table_and_no_columns(current: Settings, recorded: Any):
    with recorded() as recorder:
        recorder.details({"prior/cat": 0.25, "prior/dog": math.nan, "made/cat": None})
        recorder.flush()
        recorder.details({"made/cat": 12})
    assert (
        artifacts(current, recorder.run) / "metrics.csv"
    ).read_text() == "figure,value\nprior/cat,0.25\nmade/cat,12.0\n"
    assert run_of(current, recorder.run).data.metrics == {}


def test_data_sets_and_models_of_another_run_are_shown_on_this_one_once(
    current: Settings, parent: RunRef, recorded: Any
):
    with recorded() as recorder:
        for name in ("train", "test"):
            table = pd.DataFrame({"id": ["a"]})
            recorder.dataset_input(table, name=name, digest="0" * 36, context=name)
    model = client(current).create_logged_model(run_of(current, parent).info.experiment_id, name="m")
    for _ in range(2):
        add_inputs(parent, recorder.run.run_id)
        add_output(parent, f"models:/{model.model_id}")
    run = run_of(current, parent)
    assert sorted(i.dataset.name for i in run.inputs.dataset_inputs) == ["test", "train"]
    assert [o.model_id for o in run.outputs.model_outputs] == [model.model_id]


def test_an_experiment_opens_on_its_runs_and_says_what_came_of_them(current: Settings, parent: RunRef):
    describe_experiment(parent, "**No gain shown** at postgresql://me:hunter2@host/db")
    tags = client(current).get_experiment(run_of(current, parent).info.experiment_id).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags["mlflow.note.content"] == "**No gain shown** at postgresql://***@host/db"
