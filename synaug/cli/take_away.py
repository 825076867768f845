"""What a person takes along of a retraining beside its files: a page to begin with, a model card, a data card, and the
model as one file that needs no synaug."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synaug.cli import stored
from synaug_core import errors, vocabulary
from synaug_core.services.mlflow.tags import ArtifactPath, Tag
from synaug_core.services.models import exported, registry
from synaug_core.services.settings import Settings

if TYPE_CHECKING:
    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.evaluate.results import Comparison

__all__ = ["INDEX", "add_cards"]

INDEX = "index.html"
_CARD = "README.md"
_PARTS = {
    "comparison": "The comparison",
    "promotion": "The model",
    "dataset": "The images",
    "synthesis": "Synthetic images",
}
"""Folder of an exported retraining -> heading on the page to begin with."""


def add_cards(settings: Settings, run_id: str, folder: Path, file_format: vocabulary.FileFormat | None) -> bool:
    """Write page and cards into the folder of an exported retraining, and its registered model in a format.

    Args:
        settings: where MLflow is.
        run_id: of the run that was exported, whole or its first characters.
        folder: where its files are.
        file_format: None: the model in synaug's own files alone.

    Returns:
        Whether it is a retraining that is done; of another run nothing is written.

    Raises:
        UserError: a format is asked for and there is no registered model.
    """
    stored_comparison = folder / "comparison" / ArtifactPath.COMPARISON
    reports = sorted((folder / "dataset").rglob("report.json"))
    version = None
    top = stored.find_run(stored.client(settings), run_id)
    if stored_comparison.exists() and reports:
        version = _find_version(settings, top.info.run_id)
    if file_format is not None and version is None:
        raise errors.UserError(f"--format: no registered model came of the run {run_id}; give a retraining's id")
    if not stored_comparison.exists() or not reports:
        return False
    from synaug_core.evaluate.results import Comparison
    from synaug_core.report.markdown import cards
    from synaug_core.report.page import index_page

    comparison = Comparison.model_validate_json(stored_comparison.read_bytes())
    dataset, name = json.loads(reports[0].read_bytes()), top.data.tags.get(Tag.DATASET, "images")
    if version is not None:
        _write_model(settings, version, folder / "model", comparison, dataset, name, file_format)
    data_folder = reports[0].parent
    splits = {split: f"images/{split}" for split in dataset["counts"]}
    folders = {split: place for split, place in splits.items() if (data_folder / place).is_dir()}
    data_card = cards.data_card(dataset, name=name, folders=folders, synthetic=list(_describe_synthetic(folder)))
    (data_folder / _CARD).write_text(data_card, encoding="utf-8")
    page = index_page(comparison, name=name, parts=_list_files(folder))
    (folder / INDEX).write_text(page, encoding="utf-8")
    return True


def _find_version(settings: Settings, run_id: str) -> registry.ModelVersion | None:
    """The version that a retraining registered."""
    versions = (v for name in registry.names(settings) for v in registry.versions(settings, name))
    own = [v for v in versions if v.tags.get(Tag.RETRAINING) == run_id]
    return max(own, key=lambda v: int(v.version), default=None)


def _write_model(
    settings: Settings,
    version: registry.ModelVersion,
    folder: Path,
    comparison: "Comparison",
    dataset: dict[str, Any],
    name: str,
    file_format: vocabulary.FileFormat | None,
) -> None:
    from synaug_core.classify import conversion
    from synaug_core.report.markdown import cards

    classifier = _load(settings, version)
    folder.mkdir(parents=True, exist_ok=True)
    if file_format is not None:
        conversion.convert(classifier, file_format, folder)
        described = {"classes": classifier.classes, "size": classifier.size, "channels": classifier.channels}
        described |= {"preprocessing": dataset.get("preprocessing", {})}
        (folder / "model.json").write_text(json.dumps(described, indent=1, ensure_ascii=False), encoding="utf-8")
    card = cards.model_card(
        comparison,
        name=name,
        dataset=dataset,
        arm=version.tags.get(Tag.ARM, comparison.chosen_arm),
        model=f"{version.name} version {version.version}. {version.tags.get(Tag.DECISION, '')}",
        channels=classifier.channels,
        size=classifier.size,
        file_format=file_format or "",
    )
    (folder / _CARD).write_text(card, encoding="utf-8")


def _load(settings: Settings, version: registry.ModelVersion) -> "TrainedClassifier":
    from synaug_core.classify.trained import TrainedClassifier

    with tempfile.TemporaryDirectory(prefix="synaug-") as staging:
        return TrainedClassifier.load(exported.classifier_folder(settings, version.source, Path(staging)))


def _describe_synthetic(folder: Path) -> Iterator[str]:
    """A sentence on each exported set of synthetic images."""
    for file in sorted((folder / "synthesis").rglob("funnel.json")):
        funnels = list(json.loads(file.read_bytes()).values())
        accepted, planned = (sum(funnel[key] for funnel in funnels) for key in ("kept", "wanted"))
        place = (file.parent / "images").relative_to(folder)
        yield f"{file.parent.name}: {accepted} of {planned} planned images passed the filters; they are in {place}."


def _list_files(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Heading -> path and text of each page and card, and of the model's files."""
    parts: dict[str, list[tuple[str, str]]] = {}
    for part, heading in _PARTS.items():
        pages = [*sorted((folder / part).rglob("*.html")), *sorted((folder / part).rglob(_CARD))]
        for page in pages:
            path = page.relative_to(folder).as_posix()
            parts.setdefault(heading, []).append((path, path))
    for file in sorted((folder / "model").glob("*")):
        if file.is_file():
            path = file.relative_to(folder).as_posix()
            parts.setdefault(_PARTS["promotion"], []).append((path, path))
    return parts
