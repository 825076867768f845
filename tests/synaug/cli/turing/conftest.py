"""A store with a retraining whose images can be shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from synaug_core.config import ArmConfig, SynthesisConfig
from synaug_core.data import parquet
from synaug_core.data.imageset import ImageSet
from synaug_core.refs import RunRef
from synaug_core.services.mlflow.runs import adopt, recording
from synaug_core.services.settings import Settings, settings

EXPERIMENT = "synaug/cells"
CLASSES = ("EOSINOPHIL", "Ä <b>&", "../../etc", "never made")


def images_of(counts: dict[str, int], *, synthetic: bool, size: int = 12) -> ImageSet:
    """Bright images are synthetic, dark ones real: whoever looks can tell."""
    labels = torch.tensor([CLASSES.index(c) for c, n in counts.items() for _ in range(n)], dtype=torch.int64)
    n = len(labels)
    draw = torch.Generator().manual_seed(int(synthetic))
    pixels = torch.randint(0, 90, (n, 3, size, size), dtype=torch.uint8, generator=draw)
    kind = "made" if synthetic else "real"
    parents = [f"real {i}" for i in range(2)]
    return ImageSet(
        images=pixels + 150 if synthetic else pixels,
        labels=labels,
        classes=CLASSES,
        ids=tuple(f"{kind} {i}" for i in range(n)),
        groups=tuple(f"{kind} {i}" for i in range(n)),
        provenance=(json.dumps({"generator": "vae", "parents": parents} if synthetic else {"source": "x"}),) * n,
    )


@dataclass(frozen=True)
class Store:
    """Ids of the runs of one retraining with two arms, one that reuses its images, one in two folds, an empty one."""

    home: Path
    settings: Settings
    train: ImageSet
    top: str
    synthesis: tuple[str, ...]
    arms: dict[str, str]
    reusing: str
    reused: str
    folds: str
    fold: str
    empty: str
    orphan: str


def arm(name: str, *, multiple: float, strategy: str = "interpolate") -> ArmConfig:
    return ArmConfig(name=name, synthesis=SynthesisConfig(strategy=strategy, multiple=multiple))


def write_store(current: Settings, folder: Path) -> Store:
    train = images_of({CLASSES[0]: 8, CLASSES[1]: 6, CLASSES[2]: 3, CLASSES[3]: 2}, synthetic=False)
    other = images_of({CLASSES[0]: 5, CLASSES[1]: 5}, synthetic=False)
    made = [images_of({CLASSES[0]: 9}, synthetic=True), images_of({CLASSES[1]: 9, CLASSES[2]: 9}, synthetic=True)]
    none = images_of({}, synthetic=True)
    arms = [
        arm("weak", multiple=1.0),
        arm("strong", multiple=2.0),
        arm("void", multiple=3.0),
        arm("copies", multiple=1.0, strategy="duplicate"),
        ArmConfig(name="original"),
    ]
    scores = {"weak": 0.6, "strong": 0.7, "void": 0.1, "copies": 0.9, "original": 0.95}

    def run(key: str, stage: str, parent: RunRef | None = None, **tags: str) -> Any:
        return recording(
            current, experiment=EXPERIMENT, key=key, stage=stage, name=f"{stage} {key}", parent=parent, tags=tags
        )

    def put(recorder: Any, images: ImageSet, path: str, split: str) -> None:
        local = folder / f"{recorder.run.run_id}.parquet"
        parquet.write(images, local, split=split)
        recorder.file(local, path)

    def synthesise(key: str, one: ArmConfig, images: ImageSet, parent: RunRef) -> str:
        assert one.synthesis is not None
        with run(key, "synthesis", parent) as recorder:
            put(recorder, images, "images/synthetic.parquet", "synthetic")
            recorder.params(one.synthesis.model_dump() | {"classes": "some"})
        return str(recorder.run.run_id)

    def train_arms(parent: RunRef) -> dict[str, str]:
        ids = {}
        for one in arms:
            with run(f"arm/{one.name}", "arm", parent, **{"synaug.arm": one.name}) as recorder:
                recorder.params(one.model_dump())
                recorder.metrics({"val/balanced_accuracy": scores[one.name]})
            ids[one.name] = recorder.run.run_id
        return ids

    with run("top", "retrain", **{"synaug.dataset": "cells"}) as top:
        with run("data", "dataset", top.run) as dataset:
            put(dataset, train, "images/train.parquet", "train")
        strong = tuple(synthesise(f"s{i}", arms[1], images, top.run) for i, images in enumerate(made))
        weak = synthesise("w", arms[0], made[0], top.run)
        synthesise("v", arms[2], none, top.run)
        synthesise("c", arms[3], made[0], top.run)
        ids = train_arms(top.run)
    with run("again", "retrain") as again:
        for run_id in (dataset.run.run_id, *strong):
            reused = adopt(run_id, again.run).run_id
        train_arms(again.run)
    with run("cross", "retrain") as cross:
        with run("data", "dataset", cross.run) as folded:
            for number, images in enumerate((train, other)):
                put(folded, images, f"fold-{number}/images/train.parquet", "train")
        for number in range(2):
            with run(f"fold/{number}", "fold", cross.run) as fold:
                synthesise("s", arms[1], made[0], fold.run)
        train_arms(cross.run)
    with run("nothing", "retrain") as nothing, run("alone", "synthesis") as orphan:
        put(orphan, made[0], "images/synthetic.parquet", "synthetic")
    return Store(
        home=current.home, settings=current, train=train, top=top.run.run_id, synthesis=(*strong, weak), arms=ids,
        reusing=again.run.run_id, reused=reused, folds=cross.run.run_id, fold=fold.run.run_id,
        empty=nothing.run.run_id, orphan=orphan.run.run_id,
    )  # fmt: skip


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("turing")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("SYNAUG_HOME", str(folder / "home"))
        return write_store(settings(), folder)


@pytest.fixture
def at_store(store: Store, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store, named by the environment, without answers; other tests' empty `home` gives way."""
    assert home != store.home
    monkeypatch.setenv("SYNAUG_HOME", str(store.home))
    yield store
    shutil.rmtree(store.home / "turing", ignore_errors=True)
