"""A trained classifier as an MLflow model that `mlflow models serve` takes, without network and without pickle.

The model carries its own copy of `synaug_core` (without `services` and `serving`) in one archive, as a store takes one
file sooner than hundreds: a registered version keeps predicting what it predicted when it was judged, however the
installed code changes. Its requirements name public
packages alone, at the versions it was made with, so that any MLflow environment manager can build its environment.
"""

import shutil
import tempfile
import threading
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from synaug_core import digests, errors, refs
from synaug_core.data.scaling import Preprocessing
from synaug_core.services import retry, secrets, settings
from synaug_core.services.mlflow import artifacts, clients, tags

__all__ = ["classifier_folder", "described_preprocessing", "log_model", "trained_preprocessing"]

_CODE = Path(__file__).resolve().parents[2]
_UNSERVED = ("services", "serving")
_NEEDS = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "safetensors", "timm", "torch", "torchvision")
_saving = threading.Lock()


def log_model(
    run: refs.RunRef,
    classifier_folder: Path,
    example: bytes,
    classes: tuple[str, ...],
    preprocessing: Preprocessing = Preprocessing(),
    *,
    device: str = "auto",
) -> str:
    """Store a classifier as a model of the run. The same classifier is stored once for each run.

    Args:
        run: the run that the model is an output of.
        classifier_folder: what `TrainedClassifier.save` wrote.
        example: an image file's bytes, kept as the model's input example.
        classes: the classes' names, in the classifier's order.
        preprocessing: how image files became the training images.
        device: where the served model computes.

    Returns:
        The model's URI, `models:/m-...`.
    """
    from mlflow.entities import LoggedModelOutput

    mlflow, sha256 = clients.client_of(run), artifacts.digest(classifier_folder)
    stored_uri = _logged(mlflow, run, sha256)
    if stored_uri is not None:
        return stored_uri
    info = retry.patiently(mlflow.get_run, run.run_id).info
    model = retry.patiently(
        mlflow.create_logged_model,
        info.experiment_id,
        name=tags.ArtifactPath.CLASSIFIER,
        source_run_id=run.run_id,
        model_type="image classifier",
        tags={
            tags.Tag.SHA256: sha256,
            tags.Tag.CODE_VERSION: digests.code_version(),
            tags.Tag.CLASSES: ", ".join(classes)[:4000],
        },
    )
    try:
        with tempfile.TemporaryDirectory(prefix="synaug-") as folder:
            local = Path(folder) / "model"
            _save(local, classifier_folder, example, {**preprocessing.model_dump(), "device": device}, model, run)
            retry.patiently(mlflow.log_model_artifacts, model.model_id, str(local))
    except BaseException:
        mlflow.finalize_logged_model(model.model_id, "FAILED")
        raise
    retry.patiently(mlflow.finalize_logged_model, model.model_id, "READY")
    retry.patiently(mlflow.log_outputs, run.run_id, [LoggedModelOutput(model.model_id, 0)])
    return f"models:/{model.model_id}"


def classifier_folder(current: settings.Settings, uri: str, folder: Path) -> Path:
    """Copy the classifier out of a registered version's files (`ModelVersion.source`) or a logged model
    (`models:/m-...`) into `folder`. Runs none of the model's code.

    Raises:
        ArtifactError: it is missing or cannot be read.
    """
    if uri.startswith("models:/m-"):
        uri = retry.patiently(clients.client(current).get_logged_model, uri.removeprefix("models:/")).artifact_location
    classifier = artifacts.fetch_uri(current, f"{uri.rstrip('/')}/artifacts/{tags.ArtifactPath.CLASSIFIER}", folder)
    if not classifier.is_dir():
        raise errors.ArtifactError(f"the model at {uri} holds no classifier")
    return classifier


def trained_preprocessing(current: settings.Settings, source: str, folder: Path) -> Preprocessing:
    """How image files became the training images of a registered version (`ModelVersion.source`).

    Raises:
        ArtifactError: its description is missing or cannot be read.
    """
    return described_preprocessing(artifacts.fetch_uri(current, f"{source.rstrip('/')}/MLmodel", folder))


def described_preprocessing(description: Path) -> Preprocessing:
    """What a model's file `MLmodel` says of how its training images were read. Raises as `trained_preprocessing`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        model = YAML(typ="safe", pure=True).load(description.read_text(encoding="utf-8"))
        choices = model["flavors"]["python_function"]["config"]
        described = {"fit": choices["fit"], **{name: choices[name] for name in ("scale",) if name in choices}}
    except (OSError, YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise errors.ArtifactError(
            f"the model at {secrets.redacted(str(description.parent))} has no readable description"
        ) from error
    try:
        return Preprocessing.model_validate(described)
    except ValidationError as error:
        raise errors.ArtifactError(
            f"the model at {secrets.redacted(str(description.parent))} was made in an unknown way "
            f"{str(described)[:60]!r}"
        ) from error


def _save(local: Path, source: Path, example: bytes, choices: dict[str, Any], model: Any, run: refs.RunRef) -> None:
    import pandas as pd
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    with tempfile.TemporaryDirectory(prefix="synaug-") as folder, _saving:
        code, artifact = Path(folder) / f"{_CODE.name}.zip", Path(folder) / tags.ArtifactPath.CLASSIFIER
        _archive_code(code)
        shutil.copytree(source, artifact)
        save_model(
            path=str(local),
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={tags.ArtifactPath.CLASSIFIER: str(artifact)},
            code_paths=[str(code)],
            signature=_signature(),
            input_example=pd.DataFrame({"image": [example]}),
            pip_requirements=_requirements(),
            model_config=choices,
            mlflow_model=Model(
                artifact_path=model.artifact_location,
                model_uuid=model.model_id,
                model_id=model.model_id,
                run_id=run.run_id,
            ),
        )


def _archive_code(target: Path) -> None:
    """The copy that the model carries; equal code makes equal bytes."""
    files = [f for f in sorted(_CODE.rglob("*.py")) if f.relative_to(_CODE).parts[0] not in _UNSERVED]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(_CODE.parent).as_posix())  # of the first day that an archive knows
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Map

    output = [
        ColSpec(DataType.string, "class"),
        ColSpec(DataType.double, "probability"),
        ColSpec(Map(DataType.double), "probabilities"),
    ]
    return ModelSignature(inputs=Schema([ColSpec(DataType.binary, "image")]), outputs=Schema(output))


def _requirements() -> list[str]:
    """At the installed versions, without the build's own mark (`+cu128`), which no public index knows."""
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in _NEEDS]


def _logged(mlflow: Any, run: refs.RunRef, sha256: str) -> str | None:
    outputs = retry.patiently(mlflow.get_run, run.run_id).outputs
    for output in outputs.model_outputs if outputs else []:
        model = retry.patiently(mlflow.get_logged_model, output.model_id)
        if model.tags.get(tags.Tag.SHA256) == sha256 and str(model.status) == "READY":
            return f"models:/{model.model_id}"
    return None
