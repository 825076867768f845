from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synaug_core.data.scaling import Preprocessing, Scale
from synaug_core.errors import ArtifactError
from synaug_core.refs import RunRef
from synaug_core.services.mlflow.artifacts import digest
from synaug_core.services.mlflow.clients import client
from synaug_core.services.models import registry
from synaug_core.services.models.exported import (
    classifier_folder,
    described_preprocessing,
    log_model,
    trained_preprocessing,
)
from synaug_core.services.settings import Settings, child_environment
from tests.classifiers import expected, picture, saved_classifier
from tests.s3.swift import free_ports
from tests.waiting import answers, until

CLASSES = ("class", "Ä b", "EOSINOPHIL")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_classifier(tmp_path_factory.mktemp("trained") / "classifier", CLASSES)


@pytest.fixture
def logged(new_run: Callable[..., RunRef], folder: Path) -> tuple[RunRef, str]:
    run = new_run("p")
    return run, log_model(run, folder, picture(0), CLASSES)


@pytest.fixture
def model_files(current: Settings, logged: tuple[RunRef, str]) -> Path:
    location = client(current).get_logged_model(logged[1].removeprefix("models:/")).artifact_location
    return Path(location.removeprefix("file://").replace("%20", " "))


def test_the_model_predicts_from_bytes(model_files: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setattr(sys, "path", list(sys.path))
    model = mlflow.pyfunc.load_model(str(model_files))
    images = [picture(1), picture(2, (16, 16))]
    wanted = expected(folder, *images, fit="crop")
    bare = model.unwrap_python_model().predict(None, images)
    answers = [model.predict(pd.DataFrame({"image": images})), model.predict({"image": images}), bare]
    for answer in answers:
        assert list(answer.columns) == ["class", "probability", "probabilities"]
        assert list(answer["class"]) == [CLASSES[i] for i in wanted.argmax(axis=1)]
        assert [list(row) for row in answer["probabilities"]] == [list(CLASSES)] * 2
        np.testing.assert_allclose([list(r.values()) for r in answer["probabilities"]], wanted, atol=1e-6)
        np.testing.assert_allclose(answer["probability"], wanted.max(axis=1), atol=1e-6)
    assert len(model.predict(pd.DataFrame({"image": images * 200}))) == 400
    for row, words in (
        ("text", "image 1 .*text, where the bytes"),
        (b"no image", "image 1 .*not a JPEG"),
        (picture(1)[:200], "image 1 .*damaged or truncated"),
    ):
        with pytest.raises(MlflowException, match=words) as caught:
            model.predict(pd.DataFrame({"image": [images[0], row]}, dtype=object))
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(MlflowException, match="image"):
        model.predict(pd.DataFrame({"picture": images}))


def test_the_model_holds_no_pickle_and_says_what_it_needs(model_files: Path):
    names = {p.relative_to(model_files).as_posix() for p in model_files.rglob("*") if p.is_file()}
    assert not [n for n in names if n.endswith((".pkl", ".pickle", ".pt", ".pyc"))]
    assert "artifacts/classifier/weights.safetensors" in names
    assert [n for n in names if n.startswith("code/")] == ["code/synaug_core.zip"], (
        "one file, and not one for each module"
    )
    code = zipfile.ZipFile(model_files / "code" / "synaug_core.zip").namelist()
    assert "synaug_core/data/decode.py" in code
    assert not [n for n in code if n.startswith(("synaug_core/services", "synaug_core/serving"))]
    needs = (model_files / "requirements.txt").read_text().split()
    assert all("==" in need and "+" not in need for need in needs)
    assert {need.split("==")[0] for need in needs} >= {"mlflow", "torch", "timm", "pillow", "safetensors"}
    signature = (model_files / "MLmodel").read_text()
    assert "binary" in signature
    assert "probabilities" in signature
    example = json.loads((model_files / "serving_input_example.json").read_text())
    assert base64.b64decode(example["dataframe_split"]["data"][0][0]) == picture(0)


_PREDICT = """
import sys
import mlflow.pyfunc
model = mlflow.pyfunc.load_model(sys.argv[1])
answer = model.predict({"image": [open(sys.argv[2], "rb").read()]})
import synaug_core
print(synaug_core.__file__, answer["class"][0], *answer["probabilities"][0].values(), sep="|")
"""


def test_a_fresh_process_predicts_with_the_model_s_own_code(model_files: Path, folder: Path, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(picture(1))
    command = [sys.executable, "-c", _PREDICT, str(model_files), str(tmp_path / "a.png")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    code, name, *probabilities = said.strip().splitlines()[-1].split("|")
    [wanted] = expected(folder, picture(1), fit="crop")
    assert Path(code).parent.parent == model_files / "code" / "synaug_core.zip"
    assert name == CLASSES[wanted.argmax()]
    np.testing.assert_allclose([float(p) for p in probabilities], wanted, atol=1e-6)


def test_equal_code_makes_an_equal_archive(
    current: Settings, new_run: Callable[..., RunRef], folder: Path, model_files: Path, tmp_path: Path
):
    second = client(current).get_logged_model(
        log_model(new_run("q"), folder, picture(0), CLASSES).removeprefix("models:/")
    )
    archives = (
        model_files / "code",
        Path(second.artifact_location.removeprefix("file://").replace("%20", " ")) / "code",
    )
    assert digest(archives[0]) == digest(archives[1])


def test_the_same_classifier_is_stored_once(current: Settings, logged: tuple[RunRef, str], folder: Path):
    run, uri = logged
    assert log_model(run, folder, picture(0), CLASSES) == uri
    found = client(current).get_run(run.run_id).outputs.model_outputs
    assert [m.model_id for m in found] == [uri.removeprefix("models:/")]


def test_the_classifier_comes_back_without_running_code(
    current: Settings, logged: tuple[RunRef, str], folder: Path, tmp_path: Path
):
    run, uri = logged
    version = registry.register(current, "synaug-test", model_uri=uri, run=run, key="k")
    for place in (uri, version.source):
        found = classifier_folder(current, place, tmp_path / place[-3:])
        assert digest(found) == digest(folder)
    with pytest.raises(ArtifactError, match="missing artifact"):
        classifier_folder(current, version.source + "x", tmp_path / "none")


def test_how_images_were_read_is_stored_with_the_model(
    current: Settings, new_run: Callable[..., RunRef], folder: Path, tmp_path: Path
):
    run, preprocessing = new_run("p"), Preprocessing(fit="pad", scale=Scale(integer=4095))
    uri = log_model(run, folder, picture(0), CLASSES, preprocessing)
    version = registry.register(current, "synaug-test", model_uri=uri, run=run, key="k")
    assert trained_preprocessing(current, version.source, tmp_path) == preprocessing


def test_a_model_of_an_earlier_version_names_no_scale(tmp_path: Path):
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {config: {fit: pad, device: auto}}}")
    assert described_preprocessing(tmp_path / "MLmodel") == Preprocessing(fit="pad")
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {config: {fit: melt, device: auto}}}")
    with pytest.raises(ArtifactError, match="made in an unknown way"):
        described_preprocessing(tmp_path / "MLmodel")


def test_a_model_that_cannot_be_stored_is_marked(current: Settings, new_run: Callable[..., RunRef], tmp_path: Path):
    run = new_run("p")
    (tmp_path / "classifier").mkdir()
    with pytest.raises(TypeError):
        log_model(run, tmp_path / "classifier", object(), CLASSES)  # type: ignore[arg-type]
    number = client(current).get_run(run.run_id).info.experiment_id
    [model] = client(current).search_logged_models([number])
    assert str(model.status) == "FAILED"


@pytest.fixture
def address(current: Settings, logged: tuple[RunRef, str]) -> Iterator[str]:
    run, uri = logged
    version = registry.register(current, "synaug-test", model_uri=uri, run=run, key="k")
    registry.promote(current, "synaug-test", version.version)
    [port] = free_ports(1)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/synaug-test@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    # a proxy that refuses everything stands for a machine without network
    offline = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    log = current.home / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=child_environment(current, **offline),
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=current.home,
        )
    try:
        ping = f"http://127.0.0.1:{port}/ping"
        until(lambda: answers(ping) or process.poll() is not None, 200, log.read_text, pause=0.5)
        assert process.poll() is None, log.read_text()[-3000:]
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def ask(address: str, body: Any) -> Any:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as refusal:
        return {"status": refusal.code, "text": refusal.read().decode()}


@pytest.mark.slow
def test_mlflow_serves_the_champion(address: str, folder: Path):
    images = [picture(1), picture(2)]
    text = [base64.b64encode(data).decode() for data in images]
    wanted = expected(folder, *images, fit="crop")
    bodies: list[Any] = [
        {"dataframe_records": [{"image": t} for t in text]},
        {"dataframe_split": {"columns": ["image"], "data": [[t] for t in text]}},
        {"inputs": {"image": text}},
    ]
    for body in bodies:
        answer = ask(address, body)
        assert "predictions" in answer, answer
        answer = answer["predictions"]
        assert [a["class"] for a in answer] == [CLASSES[i] for i in wanted.argmax(axis=1)]
        np.testing.assert_allclose([list(a["probabilities"].values()) for a in answer], wanted, atol=1e-6)
    broken = base64.b64encode(b"no image").decode()
    refusal = ask(address, {"dataframe_records": [{"image": broken}]})
    assert refusal["status"] == 400
    assert "not a JPEG, PNG" in refusal["text"]
