"""Cross-validation, low data and sweeps, each as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synaug_core.evaluate.predictions import Predictions

QUICK = {"tuning": {"trials": 0}, "robustness": {"enabled": False}, "explanation": {"enabled": False}}
DATA = {"split": {"folds": 3}, "long_tail": 3}


@pytest.fixture(scope="module")
def folds(tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]) -> Any:
    """A 3-fold cross-validation and its runs."""
    said = retrain(tiny("folds", arms=["original", "combined"], repetitions=1, data=DATA, **QUICK))
    assert said.code == 0, said.err
    [run] = runs_of("folds")
    return said, run


def test_everything_that_learns_learns_inside_each_fold(folds: Any) -> None:
    _, run = folds
    assert {r.info.status for r in run.all()} == {"FINISHED"}
    every = run.of("fold")
    assert [r.info.run_name for r in every] == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"]
    assert len({r.tags["synaug.dataset_digest"] for r in every}) == 3
    for fold in every:
        assert {r.stage for r in fold.below} == {"generator", "judge", "synthesis", "quality"}
    assert len({r.params["classes"] for r in run.of("generator")}) >= 1


def test_each_image_is_tested_once_by_every_arm(folds: Any) -> None:
    said, run = folds
    for arm in ("original", "combined"):
        trained = [r for r in run.of("repetition") if r.tags["synaug.arm"] == arm]
        assert sorted(r.tags["synaug.seed"] for r in trained) == ["0", "1", "2"]
        tested = [Predictions.read(r.place / "predictions" / "test.parquet").ids for r in trained]
        assert len({i for ids in tested for i in ids}) == sum(map(len, tested)) == sum(folds_test(said))
        for r in trained:
            seen = Predictions.read(r.place / "predictions" / "val.parquet").ids
            assert not set(seen) & set(Predictions.read(r.place / "predictions" / "test.parquet").ids)


def folds_test(said: Any) -> list[int]:
    comparison = json.loads(Path(said.outcome["comparison_page"]).with_name("comparison.json").read_text())
    assert comparison["folds"] == 3
    assert comparison["contrasts"][0]["test"] == "corrected_t"
    return list(comparison["test_counts"].values())


def test_a_cross_validation_registers_nothing_and_says_so(folds: Any) -> None:
    said, _ = folds
    assert said.outcome["model"] is None
    assert any("registers no model" in note for note in said.outcome["notes"])
    assert said.outcome["arms"].keys() == {"original", "combined"}


def test_a_cross_validation_is_found_done(folds: Any, tiny: Callable[..., Any], retrain: Callable[..., Any]) -> None:
    before, _ = folds
    again = retrain(tiny("folds", arms=["original", "combined"], repetitions=1, data=DATA, **QUICK))
    assert again.outcome["cached_steps"] == again.outcome["steps"] == before.outcome["steps"]
    assert again.outcome["arms"] == before.outcome["arms"]


DRAWS = {"split": {"draws": True}, "long_tail": None, "per_class": {2: 6, "default": 20}}


@pytest.fixture(scope="module")
def draws(tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]) -> Any:
    """Two draws with the positive control, and their runs."""
    said = retrain(tiny("draws", arms=["original", "combined", "oracle"], data=DRAWS, **QUICK))
    assert said.code == 0, said.err
    [run] = runs_of("draws")
    return said, run


def test_every_draw_has_images_and_generators_of_its_own_and_all_one_test_part(draws: Any) -> None:
    from synaug_core.data import parquet

    said, run = draws
    assert {r.info.status for r in run.all()} == {"FINISHED"}
    assert [r.info.run_name for r in run.of("draw")] == ["draw 1 of 2", "draw 2 of 2"]
    for draw in run.of("draw"):
        assert {r.stage for r in draw.below} == {"generator", "judge", "synthesis", "quality"}
    [dataset] = run.of("dataset")
    trains = [parquet.read(dataset.place / f"draw-{n}" / "images" / "train.parquet") for n in range(2)]
    assert [t.counts() for t in trains] == [{"0": 20, "1": 20, "2": 6}] * 2
    assert trains[0].ids != trains[1].ids
    test = parquet.read(dataset.place / "images" / "test.parquet")
    assert said.outcome["dataset"]["test"] == test.counts()
    tested = [Predictions.read(r.place / "predictions" / "test.parquet").ids for r in run.of("repetition")]
    assert len(tested) == 6
    assert set(map(frozenset, tested)) == {frozenset(test.ids)}
    comparison = json.loads(Path(said.outcome["comparison_page"]).with_name("comparison.json").read_text())
    assert comparison["folds"] is None


def test_the_positive_control_gets_real_images_of_the_same_draw(draws: Any) -> None:
    from synaug_core.data import parquet

    said, run = draws
    assert said.outcome["synthetic"]["oracle"]["images"] == 2 * 14 == said.outcome["synthetic"]["oracle"]["wanted"]
    [dataset] = run.of("dataset")
    for number, draw in enumerate(run.of("draw")):
        [oracle] = [r for r in draw.of("synthesis") if r.params["strategy"] == "oracle"]
        given = parquet.read(oracle.place / "images" / "synthetic.parquet")
        held_back = parquet.read(dataset.place / f"draw-{number}" / "images" / "held_back.parquet")
        assert (given.images == held_back.images).all()
        parts = [dataset.place / f"draw-{number}" / "images" / f"{part}.parquet" for part in ("train", "val")]
        used = {i for path in [*parts, dataset.place / "images" / "test.parquet"] for i in parquet.read(path).ids}
        assert not used & set(held_back.ids)
        assert given.counts() == held_back.counts() == {"0": 0, "1": 0, "2": 14}


def test_a_draw_s_model_is_registered_with_the_images_of_its_draw(
    draws: Any, registered: Callable[..., Any], surroundings: dict[str, str]
) -> None:
    from synaug_core.data import parquet
    from synaug_core.services.models import registry, training_images
    from synaug_core.services.settings import settings

    said, run = draws
    assert said.outcome["model"]["version"] == "1"
    [tags] = registered("draws")[0].values()
    assert tags["synaug.arm"] != "oracle"
    number = int(tags["synaug.images_folder"].removeprefix("draw-").removesuffix("/"))
    assert tags["synaug.dataset_digest"] == run.of("draw")[number].tags["synaug.dataset_digest"]
    store = settings({"SYNAUG_HOME": surroundings["SYNAUG_HOME"]})
    [version] = registry.versions(store, "synaug-draws")
    [dataset] = run.of("dataset")
    for split, folder in (("train", f"draw-{number}/"), ("val", f"draw-{number}/"), ("test", "")):
        behind = training_images.images_behind(store, version, [split])
        assert behind.ids == parquet.read(dataset.place / f"{folder}images/{split}.parquet").ids


def test_draws_are_found_done_and_the_positive_control_changes_no_other_arm(
    draws: Any, tiny: Callable[..., Any], retrain: Callable[..., Any]
) -> None:
    before, _ = draws
    again = retrain(tiny("draws", arms=["original", "combined", "oracle"], data=DRAWS, **QUICK))
    assert again.outcome["cached_steps"] == again.outcome["steps"] == before.outcome["steps"]
    without = retrain(tiny("draws", arms=["original", "combined"], data=DRAWS, **QUICK))
    assert without.code == 0, without.err
    new_steps = without.outcome["steps"] - without.outcome["cached_steps"]
    assert new_steps <= 4  # the images, the checks, the comparison and the page
    assert {arm: before.outcome["arms"][arm] for arm in ("original", "combined")} == without.outcome["arms"]


@pytest.fixture(scope="module")
def swept(
    tiny: Callable[..., Any],
    synaug: Callable[..., Any],
    write: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """A sweep of two numbers of images, one combination of which cannot be run."""
    config = tiny("swept", arms=["original", "combined"], repetitions=1, **QUICK)
    config["data"] = {"source": "digits", "classes": [0, 1, 2], "image_size": 16, "duplicates": {"related": "pixels"}}
    config["sweep"] = {"data.per_class": [2, 8, 16]}
    file = tmp_path_factory.mktemp("swept") / "out.json"
    said = synaug("sweep", write(config), "--json", file)
    return said, json.loads(file.read_text())


def test_a_sweep_tells_what_failed_and_goes_on(swept: Any) -> None:
    said, outcome = swept
    cells = outcome["result"]["cells"]
    assert said.code == 1
    assert [cell["labels"] for cell in cells] == [{"data.per_class": n} for n in ("2", "8", "16")]
    assert "at least 5 training images are needed" in cells[0]["sentence"]
    assert [cell["verdict"] for cell in cells] == [None, "no gain shown", "no gain shown"]
    assert "1 failed" in said.out


def test_a_sweep_has_a_run_with_its_page(swept: Any, runs_of: Callable[[str], list[Any]]) -> None:
    _, outcome = swept
    runs = runs_of("swept")
    [sweep] = [r for r in runs if r.stage == "sweep"]
    assert sweep.info.run_id == outcome["run_id"]
    assert sweep.info.status == "FINISHED"
    page = Path(outcome["page"]).read_text()
    assert "data.per_class" in page
    assert sorted(p.name for p in (sweep.place / "figures").iterdir()) == [
        "balanced_accuracy.png", "macro_auc.png", "rarest_recall.png",
    ]  # fmt: skip
    finished = {r.info.run_id for r in runs if r.stage == "retrain" and r.info.status == "FINISHED"}
    assert {cell["run_id"] for cell in outcome["result"]["cells"]} == finished | {""}


def test_low_data_is_the_same_subset_for_all(swept: Any, runs_of: Callable[[str], list[Any]]) -> None:
    from synaug_core.data import parquet

    whole = {}
    for run in runs_of("swept"):
        if run.stage == "retrain" and run.info.status == "FINISHED":
            [dataset] = run.of("dataset")
            train = parquet.read(dataset.place / "images" / "train.parquet")
            whole[max(train.counts().values())] = set(train.ids)
    assert whole[8] < whole[16]
