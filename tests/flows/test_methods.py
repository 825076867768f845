"""Every generator and every strategy, from a line of YAML to a compared arm."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any

import pytest

from synaug_core.data import parquet

GENERATORS = {
    "g": {"kind": "gan", "steps": 4, "evaluate_every": 2, "width": 8, "image_size": 16},
    "d": {
        "kind": "diffusion",
        "steps": 4,
        "evaluate_every": 2,
        "width": 8,
        "image_size": 16,
        "diffusion": {"sampling_steps": 2},
    },
    "ae": {"kind": "autoencoder", "steps": 30, "evaluate_every": 10, "width": 8, "image_size": 16},
}
ARMS = {
    "gan": {"synthesis": {"generator": "g", "strategy": "prior"}},
    "diffusion": {"synthesis": {"generator": "d", "strategy": "prior"}},
    "targeted": {"synthesis": {"generator": "ae", "strategy": "targeted", "targeted": {"samples": 4, "steps": 2}}},
    "ensemble": {
        "synthesis": {"strategy": "targeted", "targeted": {"posterior": "ensemble", "samples": 2, "steps": 2}},
    },
    "random": {"synthesis": {"generator": "ae", "strategy": "random", "targeted": {"samples": 4, "steps": 2}}},
    "reconstruct": {"synthesis": {"strategy": "reconstruct"}},
    "residual": {"synthesis": {"detail": "residual", "alpha": [0.2, 0.8]}},
    "mixup": {"synthesis": {"strategy": "mixup"}},
    "duplicate": {"synthesis": {"strategy": "duplicate", "filters": None}},
    "online": {"online": {"generator": "ae", "samples": 2, "steps": 1}},
}


@pytest.fixture(scope="module")
def methods(tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]) -> Any:
    config = tiny(
        "methods",
        arms=["control", *({"name": name, **arm} for name, arm in ARMS.items())],
        data={"image_size": 20},
        generator={"image_size": 16},
        generators=GENERATORS,
        repetitions=1,
        tuning={"trials": 0},
        quality={"usefulness": False},
    )
    said = retrain(config)
    assert said.code == 0, said.err
    [run] = runs_of("methods")
    return said.outcome, run


def test_every_arm_is_compared_and_controls_with_images_are_controls(methods: Any) -> None:
    outcome, run = methods
    assert list(outcome["arms"]) == ["control", *ARMS]
    assert {r.info.status for r in run.all()} == {"FINISHED"}
    assert len(run.of("generator")) == 5  # two groups of VAEs, and one of each joint kind
    assert len(run.of("target")) == 2
    assert len(run.of("judge")) == 1  # one panel on one frozen backbone


def test_every_image_set_is_judged_and_counted(methods: Any) -> None:
    outcome, run = methods
    assert set(outcome["synthetic"]) == set(ARMS) - {"online"}
    for arm, facts in outcome["synthetic"].items():
        assert facts["images"] <= facts["wanted"], arm
        assert facts["images"] == facts["wanted"] or any("passed the filters" in note for note in outcome["notes"])
    judged = {r.info.run_name.removeprefix("quality ") for r in run.of("quality")}
    assert judged == {arm for arm, facts in outcome["synthetic"].items() if facts["images"]}
    assert outcome["synthetic"]["duplicate"]["quality"]["nearest_distance"] == 0
    for synthesis in run.of("synthesis"):
        funnel = json.loads((synthesis.place / "funnel.json").read_text())
        made = parquet.read(synthesis.place / "images" / "synthetic.parquet")
        rows = list(csv.DictReader((synthesis.place / "funnel.csv").read_text().splitlines()))
        assert {row["class"]: int(row["kept"]) for row in rows} == {c: f["kept"] for c, f in funnel.items()}
        for name, found in funnel.items():
            assert found["made"] == found["kept"] + sum(found["dropped"].values()) + found["surplus"]
            assert made.counts()[name] == found["kept"]
        if len(made):
            page = (synthesis.place / "contact_sheet.html").read_text()
            assert "<script src" not in page
            assert "http://" not in page.replace("http://www.w3.org", "")


def test_generators_learn_smaller_images_and_it_is_said_what_became_of_theirs(methods: Any) -> None:
    outcome, run = methods
    assert {generator.params["image_size"] for generator in run.of("generator")} == {"16"}
    enlarged = {"gan prior", "diffusion prior", "vae reconstruct"}
    for synthesis in run.of("synthesis"):
        name, made = synthesis.info.run_name, parquet.read(synthesis.place / "images" / "synthetic.parquet")
        assert made.size == 20
        origins = [json.loads(text) for text in made.provenance]
        if name.startswith(("mixup", "duplicate")):
            assert "learnt_size" not in synthesis.params
            continue
        plain = any(name.startswith(way) for way in enlarged)
        assert (synthesis.params["detail"], synthesis.params["learnt_size"]) == ("none" if plain else "residual", "16")
        assert {(o["learnt_size"], o.get("detail", "none")) for o in origins} <= {(16, synthesis.params["detail"])}
    note = "decoded at 16 px and enlarged to 20 px: they are less sharp than real images"
    assert sorted(n for n in outcome["notes"] if n.endswith(note)) == [f"{way}: {note}" for way in sorted(enlarged)]
    [page] = run.place.parents[1].glob("*/artifacts/comparison.html")
    text = page.read_text()
    assert "from images shrunk to 16 × 16 pixels" in text
    assert "detail: residual, so lifted to the images" in text
    assert note in text


def test_the_label_filter_is_held_against_real_images(methods: Any) -> None:
    _, run = methods
    name, column = "funnel/reals_label_filter_would_drop/", "share of reals the label filter would drop"
    filtered = 0
    for synthesis in run.of("synthesis"):
        told = {k.removeprefix(name): v for k, v in synthesis.details.items() if k.startswith(name)}
        rows = list(csv.DictReader((synthesis.place / "funnel.csv").read_text().splitlines()))
        if "filters.label_consistency" in synthesis.params:
            filtered += 1
            assert told == {row["class"]: pytest.approx(float(row[column])) for row in rows}
            assert all(0 <= share <= 1 for share in told.values())
        else:
            assert synthesis.info.run_name.startswith("duplicate")
            assert not told
            assert not any(row[column] for row in rows)
    assert filtered >= len(ARMS) - 2


def test_parents_are_training_images_and_never_of_another_class(methods: Any) -> None:
    _, run = methods
    [dataset] = run.of("dataset")
    train = parquet.read(dataset.place / "images" / "train.parquet")
    label_of = dict(zip(train.ids, train.labels.tolist(), strict=True))
    for synthesis in run.of("synthesis"):
        made = parquet.read(synthesis.place / "images" / "synthetic.parquet")
        for text, label in zip(made.provenance, made.labels.tolist(), strict=True):
            assert all(label_of[parent] == label for parent in json.loads(text)["parents"])
