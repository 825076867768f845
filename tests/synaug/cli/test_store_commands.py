"""export, predict and models on a real store with a small retraining written by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synaug_core.config import EvaluationConfig
from synaug_core.data import parquet
from synaug_core.data.imageset import ImageSet
from synaug_core.data.scaling import Preprocessing
from synaug_core.evaluate.comparison import compare
from synaug_core.evaluate.predictions import Predictions
from synaug_core.services.mlflow.runs import adopt, recording
from synaug_core.services.models import registry
from synaug_core.services.models.exported import log_model
from synaug_core.services.settings import Settings, settings
from tests.classifiers import expected, picture_files, saved_classifier

CLASSES = ("../../etc", "Ä b", "EOSINOPHIL")
EXPERIMENT = "synaug/cells"
Command = Callable[..., Any]


@dataclass(frozen=True)
class Store:
    """A store with one retraining, and one that reuses its data set."""

    home: Path
    retraining: str
    repetition: str
    reusing: str
    empty: str
    images: ImageSet
    classifier: Path
    pictures: list[Path]


def image_set() -> ImageSet:
    pixels = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return ImageSet(
        images=pixels,
        labels=torch.tensor([0, 0, 1, 1, 2, 2]),
        classes=CLASSES,
        ids=("../../x.png", "=1+1", "c", "d", "e" * 200, "e" * 199 + "f"),
        groups=tuple("abcdef"),
        provenance=('{"source": "x"}',) * 6,
    )


def write_store(current: Settings, folder: Path, pictures: list[Path]) -> Store:
    images, classifier = image_set(), saved_classifier(folder / "classifier", CLASSES)
    parquet.write(images, folder / "train.parquet", split="train")
    probabilities = np.full((6, 3), 1 / 3)
    Predictions(images.ids, images.labels.numpy(), probabilities, CLASSES).write(folder / "test.parquet")

    def run(key: str, stage: str, parent: Any = None) -> Any:
        return recording(current, experiment=EXPERIMENT, key=key, stage=stage, name=f"{stage} run", parent=parent)

    with run("top", "retrain") as top:
        top.json({"a": 1}, "config.json")
        with run("data", "dataset", top.run) as dataset:
            dataset.file(folder / "train.parquet", "images/train.parquet")
        with run("arm", "arm", top.run) as arm, run("rep", "repetition", arm.run) as repetition:
            repetition.file(folder / "test.parquet", "predictions/test.parquet")
            repetition.folder(classifier, "classifier")
            uri = log_model(repetition.run, classifier, pictures[0].read_bytes(), CLASSES, Preprocessing(fit="pad"))
    with run("again", "retrain") as again:
        adopt(dataset.run.run_id, again.run)
    with run("nothing", "retrain") as nothing:
        pass
    for key in ("first", "second"):
        registry.register(current, "synaug-cells", model_uri=uri, run=repetition.run, key=key)
    return Store(
        home=current.home,
        retraining=top.run.run_id,
        repetition=repetition.run.run_id,
        reusing=again.run.run_id,
        empty=nothing.run.run_id,
        images=images,
        classifier=classifier,
        pictures=pictures,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    pictures = picture_files(folder, 2)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("SYNAUG_HOME", str(folder / "home"))
        yield write_store(settings(), folder, pictures)


@pytest.fixture
def command(synaug: Command, store: Store, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("SYNAUG_HOME", str(store.home))
    return synaug


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_retraining_is_exported_whole(command: Command, store: Store, tmp_path: Path) -> None:
    target = tmp_path / "new" / "out"
    said = command("export", store.retraining, target)
    assert (said.code, said.err) == (0, "")
    assert json.loads((target / "config.json").read_text()) == {"a": 1}
    repetition = target / "repetition" / "repetition-run"
    assert (repetition / "classifier" / "spec.json").is_file()
    assert (repetition / "model" / "MLmodel").is_file()
    predictions = rows(repetition / "predictions" / "test.csv")
    assert [row["class"] for row in predictions] == [CLASSES[i] for i in store.images.labels.tolist()]
    assert float(predictions[0]["p(EOSINOPHIL)"]) == pytest.approx(1 / 3, abs=1e-5)
    assert not list(target.parent.glob(".*"))


def test_exported_images_are_the_images(command: Command, store: Store, tmp_path: Path) -> None:
    assert command("export", store.reusing, tmp_path / "out").code == 0  # the files lie at the run that was reused
    train = tmp_path / "out" / "dataset" / "dataset-run" / "images" / "train"
    written = rows(train / "images.csv")
    assert len({row["file"] for row in written}) == 6
    for i, row in enumerate(written):
        pixels = np.asarray(Image.open(train / row["file"]))
        assert np.array_equal(pixels, store.images.images[i].permute(1, 2, 0).numpy())
        assert row["id"].removeprefix("'") == store.images.ids[i]
    assert written[1]["id"] == "'=1+1"  # no spreadsheet runs it
    inside = train.resolve()
    assert all(path.resolve().is_relative_to(inside) for path in train.rglob("*"))
    assert sorted(p.name for p in train.iterdir() if p.is_dir()) == ["A-b", "EOSINOPHIL", "etc"]


def test_one_run_is_exported_by_itself(command: Command, store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()  # an empty folder is as good as none
    assert command("export", store.repetition[:12], tmp_path / "out").code == 0  # the first signs are enough
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["classifier", "model", "predictions"]


def test_what_cannot_be_exported(command: Command, store: Store, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    for run, target, reason in [
        (store.retraining, "full", "is not an empty folder; give a new or empty one"),
        (store.retraining, "file", "is not an empty folder; give a new or empty one"),
        (store.retraining, "file/out", "cannot be written (file exists)"),
        ("0" * 32, "out", "there is no run"),
        ("no such id", "out", "RUN: 'no such id' is not the id of a run; `synaug ui` shows the ids"),
        (store.empty, "out", "has no artifacts to write"),
    ]:
        said = command("export", run, tmp_path / target)
        assert said.code == 2
        assert reason in said.err
        assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def wanted(store: Store, fit: str) -> list[list[float]]:
    pictures = [p.read_bytes() for p in store.pictures]
    found: list[list[float]] = expected(store.classifier, *pictures, fit=fit).tolist()
    return found


def test_a_registered_model_predicts(command: Command, store: Store) -> None:
    said = command("predict", "synaug-cells@challenger", *store.pictures, "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert [answer["file"] for answer in found] == [str(p) for p in store.pictures]
    for answer, row in zip(found, wanted(store, "pad"), strict=True):  # as the model was trained
        assert answer["probabilities"] == pytest.approx(dict(zip(CLASSES, row, strict=True)))
        assert answer["class"] == CLASSES[int(np.argmax(row))]
        assert answer["probability"] == pytest.approx(max(row))


def test_a_version_predicts_and_no_folder_of_its_name_hides_it(
    command: Command, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = command("predict", "synaug-cells@challenger", store.pictures[0])
    assert wanted.code == 0
    (tmp_path / "synaug-cells@2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert command("predict", "synaug-cells@2", store.pictures[0]) == wanted
    assert command("predict", "synaug-cells@1", store.pictures[0]).code == 0


def test_images_that_cannot_be_read_cost_the_others_nothing(command: Command, store: Store, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    first, second = store.pictures
    both = command("predict", store.classifier, first, second, first, "--json")
    bad, lost = tmp_path / "text.png", tmp_path / "no\nne.png"
    said = command("predict", store.classifier, first, bad, second, lost, first, "--json")
    assert (said.code, said.out) == (2, both.out)
    text, none = said.err.splitlines()
    assert text.startswith(f"synaug: {bad}: not a JPEG")
    assert none.endswith("ne.png: cannot be read (no such file or directory)")


def test_a_saved_folder_predicts(command: Command, store: Store) -> None:
    [first, _] = wanted(store, "stretch")
    said = command("predict", store.classifier, store.pictures[0], "--fit", "stretch")
    best = CLASSES[int(np.argmax(first))]
    assert said.out.startswith(f"{store.pictures[0]}: {best} ({best} {max(first):.3f}, ")


def test_an_exported_model_predicts(command: Command, store: Store, tmp_path: Path) -> None:
    command("export", store.repetition, tmp_path / "out")
    said = command("predict", tmp_path / "out" / "model", *store.pictures, "--json")
    assert [list(a["probabilities"].values()) for a in json.loads(said.out)] == [
        pytest.approx(row) for row in wanted(store, "pad")
    ]


def test_what_cannot_be_predicted(command: Command, store: Store, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    for model, image, reason in [
        ("synaug-cells", store.pictures[0], "synaug-cells has no champion; try synaug-cells@challenger"),
        (
            "nothing",
            store.pictures[0],
            "'nothing' is neither a classifier's folder nor a registered model; registered are synaug-cells",
        ),
        ("synaug-cells@best", store.pictures[0], "there is no alias 'best'"),
        ("synaug-cells@7", store.pictures[0], "synaug-cells has no version 7; it has 1, 2"),
        (tmp_path, store.pictures[0], "holds no readable classifier"),
        (store.classifier, tmp_path / "none.png", "none.png: cannot be read (no such file or directory)"),
        (store.classifier, tmp_path, f"is a folder; name its images, such as {tmp_path}/*.png"),
        (store.classifier, tmp_path / "text.png", "text.png: "),
    ]:
        said = command("predict", model, image)
        assert said.code == 2
        assert reason in said.err
        assert len(said.err.splitlines()) == 1


def test_models_are_listed_promoted_and_rolled_back(command: Command) -> None:
    assert "challenger" in command("models", "list").out
    assert command("models", "promote", "synaug-cells", "1").out == "synaug-cells: version 1 is champion\n"
    assert command("models", "promote", "synaug-cells", "2").out == "synaug-cells: version 2 is champion\n"
    assert command("models", "rollback", "synaug-cells").out == "synaug-cells: version 1 is champion again\n"
    listed = command("models", "list", "synaug-cells").out
    assert "champion" in listed
    assert "previous" in listed
    assert "promoted by a person" in listed


def test_models_that_are_not_there(command: Command) -> None:
    for arguments, reason in [
        (("list", "nothing"), "there is no registered model 'nothing'; registered are synaug-cells"),
        (("rollback", "nothing"), "there is no registered model 'nothing'; registered are synaug-cells"),
        (("promote", "cells", "1"), "there is no registered model 'cells'; did you mean synaug-cells?"),
        (("history", "cells"), "there is no registered model 'cells'; did you mean synaug-cells?"),
        (("promote", "synaug-cells", "9"), "synaug-cells has no version 9; it has 1, 2"),
    ]:
        said = command("models", *arguments)
        assert said.code == 2
        assert said.err == f"synaug: {reason}\n"


def test_no_model_yet(synaug: Command) -> None:
    said = synaug("models", "list")
    assert said.code == 0
    assert said.out == "no model is registered yet; `synaug run` registers one\n"


@pytest.fixture
def finished(store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a retraining with a comparison, a report on its images and a registered model."""
    monkeypatch.setenv("SYNAUG_HOME", str(store.home))
    labels = np.array([0, 1, 2] * 4)
    predictions = Predictions(tuple(map(str, range(12))), labels, np.eye(3, dtype=np.float32)[labels], CLASSES)
    c = compare(
        {"control": [predictions], "combined": [predictions]},
        {"control": [1.0], "combined": [1.0]},
        controls=["control"],
        train_counts={name: 5 * n + 5 for n, name in enumerate(CLASSES)},
        config=EvaluationConfig(resamples=20),
        seed=0,
    )
    current = settings()
    report = {
        "classes": list(c.classes), "image_size": 16, "channels": 3, "preprocessing": {"fit": "pad"},
        "counts": {"train": c.train_counts, "test": c.test_counts},
    }  # fmt: skip
    tags = {"synaug.dataset": "cells"}
    with recording(current, experiment=EXPERIMENT, key="done", stage="retrain", name="done", tags=tags) as top:
        for stage, file, text in (
            ("dataset", "report.json", json.dumps(report)),
            ("comparison", "comparison.json", c.model_dump_json()),
            ("comparison", "comparison.html", "<html></html>"),
            ("synthesis", "funnel.json", '{"a": {"kept": 3, "wanted": 9}}'),
        ):
            with recording(
                current, experiment=EXPERIMENT, key=stage, stage=stage, name=stage, parent=top.run
            ) as recorder:
                recorder.text(text, file)
    uri = log_model(top.run, store.classifier, store.pictures[0].read_bytes(), CLASSES, Preprocessing(fit="pad"))
    origin = {"synaug.retraining": top.run.run_id, "synaug.arm": "control", "synaug.decision": "Promoted: first."}
    registry.register(current, "synaug-cells", model_uri=uri, run=top.run, key="done", tags=origin)
    return top.run.run_id


def test_a_retraining_is_taken_along_with_cards_and_one_file(command: Command, finished: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    said = command("export", finished, target, "--format", "torchscript")
    assert (said.code, said.err) == (0, "")
    assert said.out.strip() == f"written to {target}; begin with {target / 'index.html'}"
    index = (target / "index.html").read_text()
    for path in ("comparison/comparison.html", "model/model.pt", "model/README.md", "dataset/README.md"):
        assert (target / path).is_file()
        assert f'href="{path}"' in index
    card = (target / "model" / "README.md").read_text()
    assert card.startswith('---\nlicense: "unknown"\nlibrary_name: "pytorch"\n')
    assert "trained as the arm control. synaug-cells version" in card
    assert "Promoted: first." in card
    assert json.loads((target / "model" / "model.json").read_text())["preprocessing"] == {"fit": "pad"}
    assert "3 of 9 planned images passed the filters" in (target / "dataset" / "README.md").read_text()


def test_a_format_needs_a_registered_model(command: Command, store: Store, tmp_path: Path) -> None:
    said = command("export", store.repetition, tmp_path / "out", "--format", "torchscript")
    assert said.code == 2
    assert "--format: no registered model came of the run" in said.err
    assert not (tmp_path / "out").exists()


def test_a_report_is_printed_as_markdown(command: Command, finished: str, tmp_path: Path) -> None:
    said = command("report", finished, "--markdown")
    assert said.code == 0
    assert said.out.startswith("## cells: did synthetic images help?\n\n**No gain shown:**")
    assert "| class | training | test |" in said.out
    assert command("report", finished, "--markdown", "--page", tmp_path / "x.html").code == 2
