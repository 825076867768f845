"""The Python API on a home that is there already, and what `run` makes of its arguments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import synaug
from synaug.cli import environment
from synaug.retraining import configure
from synaug_core.config.load import load


@pytest.fixture
def python_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process of its own: no home was used yet, and what is set of the environment is undone."""
    variables = dict(os.environ)
    monkeypatch.setattr(environment, "_process_homes", [])
    yield
    os.environ.clear()
    os.environ.update(variables)


def test_importing_it_loads_nothing_heavy() -> None:
    program = (
        "import sys, synaug; print(set(sys.modules) & "
        "{'torch', 'mlflow', 'prefect', 'pandas', 'numpy', 'pydantic', 'rich', 'typer'}, dir(synaug))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.startswith("set()")
    assert all(name in out for name in synaug.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        _ = synaug.rum


def test_settings_are_nested_or_dotted_and_mean_what_the_command_means() -> None:
    expected = load("digits", ["repetitions=2", "tuning.trials=0", "data.classes=[0, 1]"])
    nested = configure("digits", {"repetitions": 2, "tuning": {"trials": 0}, "data": {"classes": ["0", "1"]}})
    dotted = configure("digits", {"repetitions": 2, "tuning.trials": 0, "data.classes": ("0", "1")})
    assert nested == dotted == expected


def test_sources_may_be_configurations_mappings_and_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\ndata: {source: digits}\nrepetitions: 3\ngenerators: {gan: {kind: gan, steps: 5}}\n")
    mapping = {
        "name": "mine",
        "data": {"source": "digits"},
        "repetitions": 3,
        "generators": {"gan": {"kind": "gan", "steps": 5}},
    }
    config = load(str(file))
    assert configure(file, {}) == configure(mapping, {}) == configure(config, {}) == config
    assert configure(config, {"seed": 7}) == load(str(file), ["seed=7"])
    assert configure(mapping, {"data.long_tail": 4}).data.source == "digits"
    assert configure(mapping, {"repetitions": 2}).repetitions == 2


def test_what_does_not_fit_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(synaug.UserError, match=r"repetition: unknown key repetition; .*repetitions"):
        synaug.run("digits", repetition=2)
    with pytest.raises(synaug.UserError, match=r"tuning\.trails: unknown key tuning\.trails"):
        synaug.run("digits", tuning={"trails": 2})
    with pytest.raises(synaug.UserError, match="does not exist"):
        synaug.run(tmp_path / "nowhere")


@pytest.mark.usefixtures("python_process")
def test_models_predict_whatever_images_come_as(old_home: Path) -> None:
    paths = sorted((old_home / "images").iterdir())
    before = json.loads((old_home / "predictions.json").read_text())["synaug-digits@1"]
    model = synaug.load_model("synaug-digits@1", device="cpu")
    assert model.classes == ("0", "1", "2")
    expected = model.predict(paths)
    assert expected.index.tolist() == [str(path) for path in paths]
    assert expected["class"].tolist() == [answer["class"] for answer in before]
    probabilities = [list(answer["probabilities"].values()) for answer in before]
    np.testing.assert_allclose(expected[["p(0)", "p(1)", "p(2)"]].to_numpy(), probabilities, atol=1e-6)
    arrays = np.stack([np.asarray(Image.open(path)) for path in paths])
    for images in (
        [path.read_bytes() for path in paths],
        [Image.open(path) for path in paths],
        list(arrays),
        arrays[..., None],
        np.repeat(arrays[..., None], 3, axis=-1),
    ):
        np.testing.assert_array_equal(model.predict(images).to_numpy(), expected.to_numpy())
    assert len(model.predict(paths[0])) == len(model.predict(arrays[0])) == 1
    assert len(model.predict([])) == 0


@pytest.mark.usefixtures("python_process")
def test_images_that_cannot_be_read_are_named(old_home: Path, tmp_path: Path) -> None:
    model = synaug.load_model("synaug-digits", device="cpu")
    with pytest.raises(synaug.UserError, match=r"image .*none\.png: .*No such file(.|\n)*image 1: expected uint8"):
        model.predict([tmp_path / "none.png", np.zeros((8, 8))])
    with pytest.raises(synaug.UserError, match="has no version 9"):
        synaug.load_model("synaug-digits@9")


@pytest.mark.usefixtures("python_process")
def test_stored_images_are_arrays_and_a_table(old_home: Path) -> None:
    run_ids = json.loads((old_home / "runs.json").read_text())
    test = synaug.load_images(run_ids["first"], "test")
    assert test.images.dtype == np.uint8
    assert test.images.shape == (len(test), 16, 16, 1)
    assert test.frame["class"].tolist() == [test.classes[label] for label in test.labels]
    made = synaug.load_images(run_ids["first"][:8])
    assert all("source" not in json.loads(text) for text in made.frame["provenance"])
    assert set(made.frame["run"]) == {"vae interpolate 1", "vae interpolate 2"}
    with pytest.raises(synaug.UserError, match="holds no images 'tests'; it has synthetic, test, train, val"):
        synaug.load_images(run_ids["first"], "tests")


@pytest.mark.usefixtures("python_process")
def test_one_process_works_in_one_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.open_home()
    monkeypatch.setenv("SYNAUG_HOME", str(home.with_name("another")))
    with pytest.raises(synaug.UserError, match="this process works in"):
        environment.open_home()
