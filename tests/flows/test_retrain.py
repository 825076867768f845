"""What one retraining leaves: the outcome for scripts, the runs in MLflow, the artifacts, the registered model."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synaug_core.data import parquet
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.scorer import RareClass, scores

ARMS = ["original", "control", "combined"]
CLASSES = ["0", "1", "2"]
STATED = {"run_id", "tracking_uri", "experiment", "dataset", "arms", "best_arm", "verdict", "model"}
STATED |= {"steps", "cached_steps", "seconds"}
FURTHER_KEYS = {"sentence", "promotion", "comparison_page", "synthetic", "notes", "training_images"}
FURTHER_KEYS |= {"rarest_class", "advice", "passed", "compare_page", "worse_than_champion"}
FURTHER_KEYS |= {"contrasts", "against_controls", "against_original", "waterfall", "positive_control"}


def only(runs: list[Any]) -> Any:
    [run] = runs
    return run


def test_the_outcome_has_exactly_the_designed_keys(first: Any, surroundings: dict[str, str]) -> None:
    found = first.outcome
    assert found.keys() == STATED | FURTHER_KEYS
    assert found["run_id"] == first.run.info.run_id
    assert found["tracking_uri"] == f"sqlite:///{surroundings['SYNAUG_HOME']}/mlflow.db"
    assert found["experiment"] == "synaug/tiny"
    assert found["dataset"].keys() == {"name", "digest", "classes", "train", "test", "rejected"}
    assert (found["dataset"]["name"], found["dataset"]["classes"]) == ("tiny", CLASSES)
    assert found["dataset"]["rejected"] == 0
    assert list(found["arms"]) == ARMS
    for metrics in found["arms"].values():
        assert all(v.keys() == {"mean", "low", "high"} for v in metrics.values())
        assert all(v["low"] <= v["mean"] + 1e-9 <= v["high"] + 2e-9 for v in metrics.values())
    assert found["best_arm"] in ARMS
    assert found["verdict"] == "no gain shown"
    assert found["model"] == {
        "name": "synaug-tiny", "version": "1", "alias": "champion", "arm": first.versions["1"]["synaug.arm"],
    }  # fmt: skip
    assert (found["steps"], found["cached_steps"]) == (1 + 2 + 1 + 2 + 1 + 4 + 6 + 3 + 1 + 1 + 1, 0)
    stages = {"total", "dataset", "generator", "judge", "synthesis", "tuning", "training", "quality", "comparison"}
    assert found["seconds"].keys() == stages | {"robustness", "explanation", "report", "registration"}
    compared = json.loads((only(first.run.of("comparison")).place / "comparison.json").read_text())
    data = json.loads((only(first.run.of("dataset")).place / "report.json").read_text())["notes"]
    assert found["notes"][: len(data)] == data
    notes = [note for note in found["notes"][len(data) :] if not note.startswith("the model of ")]
    assert notes == compared["remarks"], "of generators, plans and the search there is nothing to say"
    [made] = found["synthetic"].values()
    assert made["images"] == made["wanted"] > 0
    assert 0 <= made["quality"]["agreement"] <= 1
    assert sum(v for k, v in found["seconds"].items() if k != "total") <= found["seconds"]["total"]


def test_what_is_printed_is_for_people(first: Any) -> None:
    said, outcome = first.said, first.outcome
    for text in (*ARMS, outcome["sentence"], outcome["promotion"], outcome["comparison_page"], outcome["run_id"]):
        assert text in said.out
    lines = said.out.splitlines()
    assert lines[-1] == f"Report: {Path(outcome['comparison_page']).as_uri()}"
    assert lines[-1 - len(outcome["advice"]) : -1] == [f"- {sentence}" for sentence in outcome["advice"]]
    assert outcome["advice"][0].startswith("Keep ")
    assert outcome["rarest_class"] in lines
    assert (
        f"synaug-tiny version 1 (arm {outcome['model']['arm']}) is champion. The gate: Promoted: it is the" in said.out
    )
    lines = said.err.splitlines()
    assert lines[0] == "data: digits (digits): 537 images in 3 classes"
    lines = lines[next(n for n, line in enumerate(lines) if line.startswith("plan: ")) + 1 :]
    assert all(re.fullmatch(r"\[\d+:\d\d\] [a-z]+: .+", line) for line in lines), said.err
    ended = Counter(line.split("] ")[1].split(":")[0] for line in lines if ": done in " in line)
    assert ended == {
        "start": 1,
        "dataset": 1,
        "generator": 2,
        "judge": 1,
        "synthesis": 2,
        "quality": 1,
        "tuning": 4,
        "training": 6,
        "robustness": 3,
        "comparison": 1,
        "explanation": 1,
        "report": 1,
    }
    assert any(line.startswith("[") and "6 of 6" in line for line in lines if "training: " in line)


def test_runs_are_nested_as_designed(first: Any) -> None:
    assert (first.run.stage, first.run.info.status) == ("retrain", "FINISHED")
    stages = Counter(r.stage for r in first.run.below)
    assert stages == {
        "dataset": 1,
        "generator": 2,
        "judge": 1,
        "synthesis": 2,
        "quality": 1,
        "tuning": 1,
        "arm": 3,
        "comparison": 1,
        "explanation": 1,
        "promotion": 1,
    }
    assert [r.stage for r in only(first.run.of("tuning")).below] == ["trial"] * 4
    assert [r.tags["synaug.arm"] for r in first.run.of("arm")] == ARMS
    for arm in first.run.of("arm"):
        assert sorted((r.stage, r.tags["synaug.seed"]) for r in arm.below) == [
            ("repetition", "0"),
            ("repetition", "1"),
            ("robustness", "0"),
        ]
        assert {r.tags["synaug.arm"] for r in arm.below} == {arm.tags["synaug.arm"]}
    assert [r.info.run_name for r in first.run.all() if r.info.status != "FINISHED"] == []


def test_every_run_has_the_designed_tags(first: Any) -> None:
    own = {"synaug.dataset", "synaug.dataset_digest", "synaug.config_digest", "synaug.code_version"}
    for name in (*own, "prefect.flow_run_id"):
        values = {r.tags.get(name) for r in first.run.all()}
        assert len(values) == 1, (name, values)
        assert None not in values, name
    assert first.run.tags["synaug.dataset"] == "tiny"
    assert first.run.tags["synaug.dataset_digest"] == first.outcome["dataset"]["digest"]
    assert (first.run.tags["synaug.verdict"], first.run.tags["synaug.best_arm"]) == (
        *("no gain shown", first.outcome["best_arm"]),
    )
    assert not any("synaug.error" in r.tags for r in first.run.all())


def test_metrics_have_the_same_names_on_arms_and_repetitions(first: Any) -> None:
    averages = {f"{kind}_{m}" for kind in ("macro", "weighted") for m in ("precision", "recall", "f1")}
    always = {"accuracy", "balanced_accuracy", "macro_auc", "ece", "brier", "nll"} | averages
    always |= {f"class/{c}/{m}" for c in CLASSES for m in ("recall", "f1", "support")}
    always |= {"rarest_auc", "rarest_average_precision"}
    of_arms = {"rarest_recall_at_specificity", "robust_balanced_accuracy"}
    possible = always | of_arms | {f"class/{c}/precision" for c in CLASSES}
    for arm in first.run.of("arm"):
        reported = first.outcome["arms"][arm.tags["synaug.arm"]]
        on_test = {k: v for k, v in arm.metrics.items() if k.startswith("test/")}
        assert {f"test/{m}" for m in always} <= reported.keys() <= {f"test/{m}" for m in possible}
        trusted = {f"test/{m}" for m in ("temperature", "ece_scaled", "nll_scaled", "brier_scaled")}
        at_precision = {k for k in on_test if "_at_precision" in k}
        assert on_test.keys() - trusted - at_precision == {f"{m}{e}" for m in reported for e in ("", "/low", "/high")}
        assert trusted <= on_test.keys()
        assert {"robust/clean", "robust/perturbed", "robust/fgsm"} <= arm.metrics.keys()
        for metric, interval in reported.items():
            seen = (on_test[metric], on_test[f"{metric}/low"], on_test[f"{metric}/high"])
            assert seen == pytest.approx((interval["mean"], interval["low"], interval["high"]))
        each = [{k for k in r.metrics if k.startswith("test/")} for r in arm.of("repetition")]
        assert reported.keys() - {f"test/{m}" for m in of_arms} == set.union(*each)
        mean = np.mean([r.metrics["test/balanced_accuracy"] for r in arm.of("repetition")])
        assert on_test["test/balanced_accuracy"] == pytest.approx(mean)
        assert on_test["test/class/2/support"] == first.outcome["dataset"]["test"]["2"]


def test_predictions_give_exactly_the_figures_logged(first: Any) -> None:
    test = parquet.read(only(first.run.of("dataset")).place / "images" / "test.parquet")
    for run in first.run.of("repetition"):
        predictions = Predictions.read(run.place / "predictions" / "test.parquet")
        assert predictions.ids == test.ids
        assert predictions.labels.tolist() == test.labels.tolist()
        logged = {k.removeprefix("test/"): v for k, v in run.metrics.items() if k.startswith("test/")}
        assert logged == scores(predictions, RareClass(predictions.classes.index("2")))


def test_image_sets_are_kept_with_their_counts(first: Any) -> None:
    dataset = only(first.run.of("dataset"))
    sets = {split: parquet.read(dataset.place / "images" / f"{split}.parquet") for split in ("train", "val", "test")}
    assert sets["train"].counts() == first.outcome["dataset"]["train"]
    assert sets["test"].counts() == first.outcome["dataset"]["test"]
    assert {k.removesuffix("/images"): v for k, v in dataset.metrics.items() if "/" in k} == {
        split: len(images) for split, images in sets.items()
    }
    named = [name for images in sets.values() for name in images.ids]
    assert len(named) == len(set(named))
    counts = sets["train"].counts()
    assert counts["0"] == pytest.approx(8 * counts["2"], rel=0.1)
    made = Counter[str]()
    for run in first.run.of("synthesis"):
        images = parquet.read(run.place / "images" / "synthetic.parquet")
        wanted = {k.removeprefix("images/"): v for k, v in run.metrics.items() if k.startswith("images/")}
        assert {c: n for c, n in images.counts().items() if n} == wanted
        parents = {p for text in images.provenance for p in json.loads(text)["parents"]}
        assert parents <= set(sets["train"].ids)
        made.update(images.counts())
        anew = parquet.read(run.place / "images" / "synthetic-1.parquet")
        assert {p for text in anew.provenance for p in json.loads(text)["parents"]} <= set(sets["train"].ids)
        assert anew.counts() == images.counts()
        assert bool((anew.images != images.images).any())
    assert {c: counts[c] + made[c] for c in CLASSES} == dict.fromkeys(CLASSES, counts["0"])


def test_every_stage_leaves_its_files_and_inputs(first: Any) -> None:
    wanted = {
        "retrain": {"config.json", "environment.json"},
        "quality": {"metrics.csv"},
        "dataset": {"dataset.html", "report.json", "figures/counts.png", "figures/train.png"},
        "generator": {"generator/weights.safetensors", "fit_report.json", "figures/reconstructions.png"},
        "synthesis": {"images/synthetic.parquet", "figures/real_beside_synthetic.png", "figures/interpolation.png"},
        "tuning": {"trials.json", "figures/history.png", "figures/importance.png"},
        "arm": {"figures/confusion.png", "figures/training.png"},
        "repetition": {"classifier/weights.safetensors", "classifier/spec.json", "predictions/test.parquet"},
        "comparison": {"comparison.html", "comparison.json", "figures/forest.png"},
        "promotion": {"promotion.html", "decision.json"},
    }
    for stage, files in wanted.items():
        for run in first.run.of(stage):
            there = {p.relative_to(run.place).as_posix() for p in run.place.rglob("*") if p.is_file()}
            assert files <= there, stage
            assert not [p for p in there if p.endswith((".pkl", ".pickle", ".pt", ".part"))]
    contexts = [t.value for d in only(first.run.of("dataset")).inputs for t in d.tags if t.key == "mlflow.data.context"]
    assert sorted(contexts) == ["test", "train", "val"]
    assert all(len(r.inputs) == 1 for r in first.run.of("synthesis"))
    assert "library/torch" in json.loads((first.run.place / "environment.json").read_text())


def test_trials_are_complete_and_numbered(first: Any) -> None:
    tuning = only(first.run.of("tuning"))
    rows = json.loads((tuning.place / "trials.json").read_text())
    assert [r["state"] for r in rows] == ["complete", "complete"]
    scores = {(r.params["number"], r.params["steps"]): r.metrics["val/balanced_accuracy"] for r in tuning.below}
    assert scores.keys() == {(number, steps) for number in "01" for steps in ("8", "30")}
    assert tuning.params["steps"] == "8, 30"
    assert tuning.metrics["val/balanced_accuracy"] == max(scores[number, "30"] for number in "01")
    assert {r.info.run_name for r in tuning.below} == {f"trial {n}, {s} steps" for n, s in scores}
    used = {r.params["learning_rate"] for r in first.run.of("repetition")}
    assert used == {tuning.params["best.learning_rate"]}


def test_the_model_is_registered_as_champion_with_what_decided(first: Any) -> None:
    assert (list(first.versions), first.aliases) == (["1"], {"champion": "1"})
    tags, outcome = first.versions["1"], first.outcome
    assert tags["synaug.decision"] == outcome["promotion"]
    assert outcome["promotion"].startswith("Promoted: it is the first model")
    assert (tags["synaug.arm"], tags["synaug.retraining"]) == (outcome["model"]["arm"], outcome["run_id"])
    assert tags["synaug.dataset_digest"] == outcome["dataset"]["digest"]
    assert tags["synaug.promoted"] == "1"
    assert "synaug.promoted_at" in tags
    decision = json.loads((only(first.run.of("promotion")).place / "decision.json").read_text())
    assert decision["promoted"] is True
    assert decision["figures"] is None


def test_the_registered_model_names_classes_from_image_bytes(
    first: Any, mlflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.pyfunc as pyfunc

    version = mlflow.get_model_version("synaug-tiny", first.aliases["champion"])
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setattr(sys, "path", list(sys.path))
    model = pyfunc.load_model(version.source)
    test = parquet.read(only(first.run.of("dataset")).place / "images" / "test.parquet")
    answer = model.predict({"image": [png(test.images[i, 0].numpy()) for i in range(len(test))]})
    kept = next(r for r in first.run.of("repetition") if r.info.run_id == version.run_id)
    predictions = Predictions.read(kept.place / "predictions" / "test.parquet")
    assert list(answer["class"]) == [CLASSES[i] for i in predictions.predicted]
    given = np.array([[row[c] for c in CLASSES] for row in answer["probabilities"]])
    np.testing.assert_allclose(given, predictions.probabilities, atol=1e-5)


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_prefect_shows_the_answer_the_arms_the_images_and_the_way_to_mlflow(
    first: Any, surroundings: dict[str, str]
) -> None:
    address = f"file:{surroundings['SYNAUG_HOME']}/prefect/prefect.db?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as database:
        one = (first.run.tags["prefect.flow_run_id"].replace("-", ""),)
        asked = "select r.name, r.state_type, s.message from flow_run r join flow_run_state s on s.id = r.state_id"
        [(name, state, message)] = database.execute(f"{asked} where replace(r.id, '-', '') = ?", one)
        tasks = {
            row for (row,) in database.execute("select name from task_run where replace(flow_run_id, '-', '') = ?", one)
        }
        logged = {
            row for (row,) in database.execute("select message from log where replace(flow_run_id, '-', '') = ?", one)
        }
        shown = "select key, data from artifact where replace(flow_run_id, '-', '') = ? and key is not null"
        found = {key: json.loads(data) for key, data in database.execute(f"{shown} and type != 'progress'", one)}
    assert re.fullmatch(r"tiny \d{4}-\d\d-\d\d \d\d:\d\d", name)
    assert (state, message) == ("COMPLETED", first.outcome["sentence"])
    assert {f"train {arm} {n}" for arm in ARMS for n in (0, 1)} <= tasks
    assert {first.outcome["sentence"], *(f"- {s}" for s in first.outcome["advice"])} <= logged
    assert first.outcome["sentence"].partition(": ")[2] in found["tiny-verdict"]
    assert "comparison.html" in found["tiny-report"]
    assert [row["arm"] for row in json.loads(found["tiny-arms"])] == ARMS
    assert {row["class"]: row["training"] for row in json.loads(found["tiny-images"])} == first.outcome["dataset"][
        "train"
    ]
    assert first.outcome["run_id"] in found["tiny-mlflow"]
    assert "data:image/jpeg;base64," in found["tiny-preview"]


def test_no_secret_of_the_environment_is_recorded(first: Any, surroundings: dict[str, str]) -> None:
    assert surroundings["AWS_SECRET_ACCESS_KEY"] == "a-secret-that-stays"
    for run in first.run.all():
        for text in (*run.tags.values(), *run.params.values()):
            assert "a-secret-that-stays" not in text
    for file in Path(surroundings["SYNAUG_HOME"]).rglob("*"):
        if file.is_file() and file.suffix in {".json", ".html", ".log", ".db", ".txt", ""}:
            assert b"a-secret-that-stays" not in file.read_bytes(), file


def test_the_report_on_a_terminal_and_as_a_page(
    first: Any, surroundings: dict[str, str], synaug: Any, tmp_path: Path
) -> None:
    said = synaug("report", first.outcome["run_id"][:12])
    assert said.code == 0, said.err
    assert " ".join(first.outcome["sentence"].split()) in " ".join(said.out.split())
    assert all(len(line) <= 100 for line in said.out.splitlines())
    assert synaug("report", first.outcome["run_id"], "--page", tmp_path / "page.html").code == 0
    assert (tmp_path / "page.html").read_bytes() == Path(first.outcome["comparison_page"]).read_bytes()
    refused = synaug("report", only(first.run.of("dataset")).info.run_id)
    assert (refused.code, refused.out) == (2, "")
    assert "has no comparison" in refused.err
