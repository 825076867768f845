from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import STANDARD_ARMS
from synaug_core.errors import ArtifactError


@pytest.fixture
def trained(make_set, quick):
    config = quick.model_copy(update={"steps": 6})
    return train(TrainingJob(config, STANDARD_ARMS["control"], make_set(), make_set(seed=1), init_seed=1, batch_seed=2))


def test_predictions_are_probabilities(trained, make_set, monkeypatch):
    test = make_set(seed=2)
    rows = trained.predict(test)
    assert rows.dtype == np.float32
    assert rows.shape == (20, 2)
    assert np.allclose(rows.sum(1), 1, atol=1e-6)
    assert (rows == trained.predict(test)).all()
    assert (rows == trained.predict(test.images)).all()
    assert trained.predict(test.take([])).shape == (0, 2)
    monkeypatch.setattr("synaug_core.classify.model._AT_ONCE", 7 * 16**2)
    assert np.allclose(rows, trained.predict(test), atol=1e-6)


def test_images_of_another_shape_are_refused(trained, make_set):
    with pytest.raises(ValueError, match="uint8"):
        trained.predict(make_set(size=20))
    with pytest.raises(ValueError, match="uint8"):
        trained.predict(torch.zeros(1, 1, 16, 16))


def test_saved_and_loaded_it_is_the_same(trained, make_set, tmp_path):
    trained.save(tmp_path / "one")
    loaded = TrainedClassifier.load(tmp_path / "one")
    assert (loaded.predict(make_set(seed=2)) == trained.predict(make_set(seed=2))).all()
    assert loaded.config == trained.config
    assert loaded.classes == trained.classes
    assert loaded.history.evaluations == trained.history.evaluations
    loaded.save(tmp_path / "two")
    for name in ("spec.json", "weights.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_pretrained_backbones_are_loaded_without_their_weights_file(trained, make_set, tmp_path):
    import timm
    from safetensors.torch import save_file

    source = tmp_path / "source.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), source)
    config = trained.config.model_copy(
        update={"backbone": "resnet18", "pretrained": "file", "weights_file": str(source), "steps": 1, "batch_size": 2}
    )
    made = train(
        TrainingJob(config, STANDARD_ARMS["original"], make_set(), make_set(seed=1), init_seed=1, batch_seed=2)
    )
    made.save(tmp_path / "made")
    source.unlink()
    loaded = TrainedClassifier.load(tmp_path / "made")
    assert (loaded.predict(make_set(seed=2)) == made.predict(make_set(seed=2))).all()


def _broken_json(folder):
    (folder / "spec.json").write_text("{")


def _no_weights(folder):
    (folder / "weights.safetensors").unlink()


def _flipped_byte(folder):
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(data)


def _other_network(folder):
    spec = json.loads((folder / "spec.json").read_text())
    spec["config"]["width"] = 5
    (folder / "spec.json").write_text(json.dumps(spec))


def _unknown_backbone(folder):
    spec = json.loads((folder / "spec.json").read_text())
    spec["config"]["backbone"] = "nonsense"
    (folder / "spec.json").write_text(json.dumps(spec))


def _later_format(folder):
    spec = json.loads((folder / "spec.json").read_text())
    spec["kind"] = "synaug classifier 99"
    (folder / "spec.json").write_text(json.dumps(spec))


@pytest.mark.parametrize(
    "damage", [_broken_json, _no_weights, _flipped_byte, _other_network, _unknown_backbone, _later_format]
)
def test_damaged_folders_are_refused(trained, tmp_path, damage):
    trained.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ArtifactError):
        TrainedClassifier.load(tmp_path)


def test_images_are_grey_or_in_colour(trained, tmp_path):
    trained.save(tmp_path)
    spec = json.loads((tmp_path / "spec.json").read_text())
    (tmp_path / "spec.json").write_text(json.dumps(spec | {"channels": 2}))
    with pytest.raises(ArtifactError, match=r"no readable classifier \(spec\.json is damaged\)"):
        TrainedClassifier.load(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"no readable classifier \(spec\.json: no such file or directory\)"):
        TrainedClassifier.load(tmp_path)
    assert not TrainedClassifier.is_in(tmp_path)


@pytest.mark.parametrize("width", [2**63, 2**70])
def test_a_width_beyond_64_bits_is_a_damaged_description(width, trained, tmp_path):
    folder = tmp_path / "classifier"
    trained.save(folder)
    spec = json.loads((folder / "spec.json").read_text())
    spec["config"]["width"] = width
    (folder / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(ArtifactError, match="do not fit their description"):
        TrainedClassifier.load(folder)
