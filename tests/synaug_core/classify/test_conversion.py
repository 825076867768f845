"""A classifier as one file that needs no synaug: it predicts the same, for any number of images."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from synaug_core.classify import conversion
from synaug_core.classify.model import Ensemble, build
from synaug_core.classify.trained import History, TrainedClassifier
from synaug_core.config import ClassifierConfig
from synaug_core.errors import SynaugError, UserError
from tests.classifiers import saved_classifier

CLASSES = ("a", "b", "c")
IMAGES = torch.randint(0, 256, (7, 3, 16, 16), generator=torch.Generator().manual_seed(9), dtype=torch.uint8)


@pytest.fixture
def classifier(tmp_path: Path) -> TrainedClassifier:
    return TrainedClassifier.load(saved_classifier(tmp_path / "classifier", CLASSES))


@pytest.fixture
def enlarging() -> TrainedClassifier:
    """Two networks that are shown grey images larger than they are."""
    config = ClassifierConfig(width=4, input_size=24)
    networks = [
        build(config, channels=1, size=16, classes=CLASSES, seed=seed, mean=(0.5,), std=(0.2,)) for seed in (1, 2)
    ]
    history = History(evaluations=(), best_step=0, stopped_at=0, ended="all steps", members=2)
    return TrainedClassifier(Ensemble(networks), config, CLASSES, 1, 16, history)


def test_torchscript_predicts_the_same(classifier: TrainedClassifier, tmp_path: Path) -> None:
    file = conversion.convert(classifier, "torchscript", tmp_path)
    assert file.name == "model.pt"
    found = torch.jit.load(str(file))(IMAGES).numpy()
    np.testing.assert_allclose(found, classifier.predict(IMAGES), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_an_ensemble_that_enlarges_its_images_is_converted_too(enlarging: TrainedClassifier, tmp_path: Path) -> None:
    file = conversion.convert(enlarging, "torchscript", tmp_path)
    images = IMAGES[:, :1]
    np.testing.assert_allclose(torch.jit.load(str(file))(images).numpy(), enlarging.predict(images), atol=1e-5)


def test_onnx_predicts_the_same(classifier: TrainedClassifier, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(conversion.convert(classifier, "onnx", tmp_path)))
    [found] = session.run(None, {"images": IMAGES.numpy()})
    np.testing.assert_allclose(found, classifier.predict(IMAGES), atol=1e-5)


def test_without_its_packages_onnx_is_refused_with_what_to_type(
    classifier: TrainedClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'synaug\[onnx\]'"):
        conversion.convert(classifier, "onnx", tmp_path)


def test_a_file_that_predicts_something_else_is_not_left(
    classifier: TrainedClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    write = conversion._write_torchscript

    def spoil(*arguments: object) -> object:
        predict = write(*arguments)  # type: ignore[arg-type]
        return lambda images: predict(images) + 2e-4

    monkeypatch.setattr(conversion, "_write_torchscript", spoil)
    with pytest.raises(SynaugError, match=r"probabilities differ by 0\.0002"):
        conversion.convert(classifier, "torchscript", folder)
    assert list(folder.iterdir()) == []
