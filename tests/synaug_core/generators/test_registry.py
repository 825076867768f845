import json

import pytest
import torch
from pydantic import ValidationError

from synaug_core.config import GeneratorConfig
from synaug_core.errors import ArtifactError, ConfigError
from synaug_core.generators import registry
from synaug_core.generators.base import FitJob
from synaug_core.generators.class_vae import ClassVAE
from synaug_core.generators.fit_report import FitReport
from synaug_core.testing.conformance import make_images


@pytest.fixture
def saved(small, tmp_path):
    images = make_images({"a": 5, "b": 4}, 1, 16)
    generator = registry.create(small, ("b", "a"), 1, 16).fit(images, FitJob(seed=1, device=torch.device("cpu")))
    generator.save(tmp_path / "g")
    return generator, tmp_path / "g"


def test_create_and_load_know_the_vae(saved):
    generator, folder = saved
    assert isinstance(generator, ClassVAE)
    loaded = registry.load(folder)
    assert isinstance(loaded, ClassVAE)
    assert loaded.classes == ("b", "a")
    assert loaded.config == generator.config
    assert "vae" in registry.kinds()


def test_unknown_kinds_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"unknown kind 'gam'; known are .*vae"):
        registry.create(GeneratorConfig(kind="gam"), ("a",), 1, 16)


def test_a_taken_name_is_refused():
    class Other(ClassVAE):
        pass

    registry.register("vae", ClassVAE)
    with pytest.raises(ConfigError, match="taken by ClassVAE"):
        registry.register("vae", Other)


def test_an_unfitted_class_is_refused(saved):
    with pytest.raises(ConfigError, match="no model was fitted for class 'c'; there are a, b"):
        saved[0].sample(1, "c", seed=0)


@pytest.mark.parametrize("kind", ["vae", "autoencoder", "gan", "diffusion"])
def test_what_was_not_fitted_neither_samples_nor_is_saved(small, kind, tmp_path):
    unfitted = registry.create(small.model_copy(update={"kind": kind}), ("a",), 1, 16)
    with pytest.raises(ConfigError, match="no model was fitted for class 'a'; there are none yet"):
        unfitted.sample(1, "a", seed=0)
    with pytest.raises(ConfigError, match="not fitted; there is nothing to save"):
        unfitted.save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_generator_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="holds no generator"):
        registry.load(tmp_path)


@pytest.mark.parametrize("change", [{"format": 2}, {"kind": None}])
def test_a_spec_of_another_format_is_refused(saved, change):
    path = saved[1] / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError, match="format 1"):
        registry.load(saved[1])


def test_images_are_grey_or_in_colour(saved):
    path = saved[1] / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"channels": 2}))
    with pytest.raises(ArtifactError, match="spec cannot be read"):
        registry.load(saved[1])


def test_a_generator_of_another_kind_is_refused(saved):
    path = saved[1] / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": "flow"}))
    with pytest.raises(ConfigError, match="unknown kind 'flow'"):
        registry.load(saved[1])
    with pytest.raises(ArtifactError, match="holds a 'flow' generator"):
        ClassVAE.load(saved[1])


def test_broken_weights_are_refused(saved):
    path = saved[1] / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="cannot be read"):
        registry.load(saved[1])


def test_weights_that_do_not_fit_the_spec_are_refused(saved):
    path = saved[1] / "spec.json"
    spec = json.loads(path.read_text())
    path.write_text(json.dumps(spec | {"config": spec["config"] | {"width": 8}}))
    with pytest.raises(ArtifactError, match="do not fit"):
        registry.load(saved[1])


def test_reports_are_frozen_json_and_flat_figures(saved):
    report = saved[0].reports["a"]
    assert FitReport.model_validate_json(report.model_dump_json()) == report
    with pytest.raises(ValidationError):
        report.steps = 3
    names = [name for name, _, _ in report.series()]
    assert names == ["beta", "loss", "reconstruction", "kl", "variance"]
    assert report.series()[0][1] == [4, 8, 12]
    assert report.metrics("slug")["images/slug"] == 5


def test_other_kinds_tell_their_losses_measures_and_notes():
    report = FitReport(
        class_name="a",
        images=5,
        held_out=0,
        steps=8,
        best_step=8,
        status="finished",
        losses={"g_loss": ((4, 1.5), (8, 0.5))},
        measures={"diversity": 0.5},
        notes=("too alike",),
    )
    assert FitReport.model_validate_json(report.model_dump_json()) == report
    assert report.series() == [("g_loss", [4, 8], [1.5, 0.5])]
    assert report.metrics("slug")["diversity/slug"] == 0.5
    assert "active_units/slug" not in report.metrics("slug")
