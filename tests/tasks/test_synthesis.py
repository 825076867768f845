"""The step that makes images: what it needs, and what it records of new kinds of images."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from PIL import Image

from synaug_core.classify.training import TrainingJob
from synaug_core.classify.training import train as train_classifier
from synaug_core.config import STANDARD_ARMS, ClassifierConfig, ComputeConfig, PasteConfig, SynthesisConfig
from synaug_core.config.synthesis import SubsetConfig
from synaug_core.refs import ClassifierRef, DatasetRef, ImageSetRef, RunRef
from synaug_core.testing.conformance import make_images
from tasks import synthesis
from tasks.engine import recording, storage
from tasks.engine.context import Context


@pytest.fixture(scope="module")
def train() -> Any:
    return make_images({"a": 12, "b": 4}, 1, 16)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, train: Any) -> MagicMock:
    """Of a step that finds its images and classifiers in this process, and stores nothing."""
    recorder = MagicMock()
    config = ClassifierConfig(width=4, steps=4, batch_size=16, evaluate_every=2, dropout=0.3)
    target = train_classifier(TrainingJob(config, STANDARD_ARMS["original"], train, train, init_seed=1, batch_seed=1))
    monkeypatch.setattr(recording, "recorded", lambda *_: contextlib.nullcontext(recorder))
    monkeypatch.setattr(recording, "progress", lambda *_: lambda *_, **__: None)
    monkeypatch.setattr(storage, "load_images", lambda _: train)
    monkeypatch.setattr(storage, "load_classifier", lambda *_: target)
    reference = ImageSetRef(uri="file:///nowhere", sha256="2" * 64, run_id="run", counts={"a": 0, "b": 8})
    monkeypatch.setattr(storage, "store_images", MagicMock(return_value=reference))
    return recorder


def make(dataset: DatasetRef, parent: RunRef, config: SynthesisConfig, train: Any, recorder: MagicMock) -> Any:
    """The images that were stored, and the names of the figures."""
    dataset = dataset.model_copy(
        update={"train": dataset.train.model_copy(update={"counts": train.counts()}), "classes": train.classes}
    )
    [need] = synthesis.list_needs.fn(dataset, (config,))
    context = Context(dataset=dataset, seed=1, compute=ComputeConfig(device="cpu"), run=parent)
    target = ClassifierRef(uri="file:///nowhere", sha256="3" * 64, run_id="run", classes=("a", "b"))
    reference = synthesis.synthesise_group.fn(
        *(context, need.classes, None, (), (target,) * need.targets, config, None, 1, None, need.masks)
    )
    assert reference.planned == 8
    return need, storage.store_images.call_args.args[1], {call.args[1] for call in recorder.figure.call_args_list}


def test_masks_of_files_are_read_and_count_as_input(
    dataset: DatasetRef, parent: RunRef, train: Any, recorder: MagicMock, tmp_path: Path
) -> None:
    for name in train.of_class("b").ids:
        (tmp_path / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        mask = Image.new("L", (16, 16))
        mask.paste(255, (0, 0, 8, 16))
        mask.save(tmp_path / "masks" / f"{name}.png")
    paste = PasteConfig(mask="files", masks=str(tmp_path / "masks"), blending="none")
    config = SynthesisConfig(strategy="paste", paste=paste, filters=None)
    need, images, figures = make(dataset, parent, config, train, recorder)
    assert (need.targets, len(need.masks)) == (0, 64)
    assert torch.allclose(images.label_shares(), torch.tensor([0.5, 0.5]))
    assert {"figures/changes.png", "figures/real_beside_synthetic.png"} <= figures


def test_a_subset_and_a_map_ask_one_classifier(
    dataset: DatasetRef, parent: RunRef, train: Any, recorder: MagicMock
) -> None:
    config = SynthesisConfig(strategy="paste", subset=SubsetConfig(candidates=3), filters=None)
    need, images, figures = make(dataset, parent, config, train, recorder)
    assert (need.targets, need.judges, need.masks) == (1, False, "")
    assert images.counts() == {"a": 0, "b": 8}
    assert {"figures/subset.png", "figures/changes.png"} <= figures
    details = {name for call in recorder.details.call_args_list for name in call.args[0]}
    assert {"uncertainty_taken/b", "uncertainty_candidates/b", "area/b"} <= details


def test_judged_labels_need_judges_even_of_copies(dataset: DatasetRef) -> None:
    for strategy, needs_judges in (("duplicate", False), ("mixup", True)):
        for labels in ("parents", "judged"):
            config = SynthesisConfig(strategy=strategy, labels=labels)
            [need] = synthesis.list_needs.fn(dataset, (config,))
            assert need.judges == (needs_judges or labels == "judged")
