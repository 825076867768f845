"""A look at what the champion was asked of late, beside the images it was judged on."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, ConfigDict

from synaug_core import digests
from synaug_core.config import Config
from synaug_core.drift.finding import Finding
from synaug_core.refs import RunRef, identity
from synaug_core.services.settings import settings
from tasks.slots import device_slot
from tasks.step import action

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.services.registry import ModelVersion
    from synaug_core.services.service_recent import Kept

__all__ = ["Looked", "look_at_inputs", "start_retraining"]

_PER_ROW = 10


class Looked(BaseModel):
    """What one look came to, and the run that has it."""

    model_config = ConfigDict(frozen=True)

    run: RunRef
    model: str
    version: str
    finding: Finding


@action
def look_at_inputs(config: Config) -> Looked:
    """Compare recent inputs of the champion with the images behind it, and record what was found.

    Without new inputs the run of the last look is found again.

    Raises:
        UserError: there is no champion, or nobody knows which images it was made from.
    """
    from synaug_core.errors import UserError
    from synaug_core.services import registry
    from synaug_core.services.service_log import log_folder
    from synaug_core.services.service_recent import read_recent
    from synaug_core.services.tracking import recording

    asked, name = config.watch, f"synaug-{config.name}"
    version = registry.current(settings(), name, "champion")
    if version is None:
        raise UserError(f"{name} has no champion, so there is nothing to watch; `synaug run` registers one")
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=asked.days) if asked.days else None
    recent = read_recent(
        log_folder(settings(), name),
        most=asked.window,
        since=since,
        features_of=version.version if asked.features == "classifier" else None,
    )
    key = digests.of_value(
        [name, version.version, identity(asked), config.seed, [(k.digest, k.pixels is None) for k in recent]]
    )
    with recording(
        settings(),
        experiment=f"synaug/{config.name}",
        key=key,
        stage="watch",
        name=f"watch version {version.version}",
        tags={"synaug.dataset": config.name, "synaug.model": name, "synaug.version": version.version},
    ) as recorder:
        with device_slot(config.compute) as device, tempfile.TemporaryDirectory(prefix="synaug-") as folder:
            from synaug_core.classify.trained import TrainedClassifier
            from synaug_core.services.serving import classifier_folder

            stored = classifier_folder(settings(), version.source, Path(folder))
            finding, sheet = _compared(config, version, recent, TrainedClassifier.load(stored, device))
        recorder.params(asked.model_dump(mode="json"))
        recorder.tags({"synaug.verdict": finding.verdict, "mlflow.note.content": finding.sentence})
        recorder.metrics(finding.metrics())
        recorder.json(finding.model_dump(mode="json") | {"sentence": finding.sentence}, "watch.json")
        if finding.mmd is not None:
            from synaug_core.report.figures.drift import classes_figure, distance_figure

            recorder.figure(distance_figure(finding), "figures/distance.png")
            recorder.figure(classes_figure(finding), "figures/classes.png")
        if sheet is not None:
            recorder.figure(sheet, "figures/unusual.png")
    return Looked(run=recorder.run, model=name, version=version.version, finding=finding)


@action
def start_retraining(looked: Looked, deployment: str) -> tuple[str, bool]:
    """Start a deployment because of drift, once for a model version: while the same version is served, drift is found
    at every look, and a retraining that did not help the first time would not help the next.

    Returns:
        The flow run's id, and whether it was started now.

    Raises:
        UserError: there is no such deployment.
    """
    from synaug_core.errors import UserError

    key = f"synaug-drift/{deployment}/{looked.model}/{looked.version}"
    same = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
    with get_client(sync_client=True) as client:
        if earlier := client.read_flow_runs(flow_run_filter=same, limit=1):
            return str(earlier[0].id), False
    try:
        run = cast(
            FlowRun,  # a coroutine only where a loop is running
            run_deployment(
                deployment,
                timeout=0,
                as_subflow=False,
                idempotency_key=key,
                tags=["drift"],
            ),
        )
    except ObjectNotFound as error:
        raise UserError(f"watch.deployment: there is no deployment {deployment!r} on this Prefect server") from error
    return str(run.id), True


def _compared(
    config: Config, version: ModelVersion, recent: list[Kept], classifier: TrainedClassifier
) -> tuple[Finding, Image | None]:
    """The finding, and a sheet of the most unusual recent images where they were kept."""
    import torch

    from synaug_core.drift.finding import look
    from synaug_core.drift.inputs import described
    from synaug_core.drift.mmd import unusual
    from synaug_core.seeds import derive
    from synaug_core.services.service_reference import images_behind

    asked, index = config.watch, {name: i for i, name in enumerate(classifier.classes)}
    shape = (classifier.channels, classifier.size, classifier.size)
    width = classifier.model.linear.in_features
    pixels, predicted, features = [], [], []
    for kept in recent:
        if kept.pixels is not None and kept.pixels.shape == shape:
            pixels.append(torch.from_numpy(kept.pixels))
        elif kept.features is not None and len(kept.features) == width and kept.predicted in index:
            features.append(torch.from_numpy(kept.features))
            predicted.append(index[kept.predicted])
    shown = torch.stack(pixels) if pixels else torch.empty(0, *shape, dtype=torch.uint8)
    found, classes = described(shown, classifier, asked.features)
    if features:
        found = torch.cat([found, torch.stack(features)])
        classes = torch.cat([classes, torch.tensor(predicted)])
    splits = ("val", "test") if asked.reference == "held_out" else ("train",)
    known, known_classes = described(images_behind(settings(), version, splits).images, classifier, asked.features)
    finding = look(
        known,
        found,
        known_classes.numpy(),
        classes.numpy(),
        classifier.classes,
        config=asked,
        seed=derive(config.seed, "watch"),
    )
    if not len(shown) or not asked.unusual or not len(known):
        return finding, None
    far, order = unusual(known, found[: len(shown)])
    most = min(asked.unusual, len(order))
    return finding, _sheet(
        shown[order[:most]], far[:most].tolist(), [classifier.classes[classes[i]] for i in order[:most]]
    )


def _sheet(images: Tensor, far: list[float], predicted: list[str]) -> Image:
    from synaug_core.report.tiles import Row, sheet

    rows = []
    for start in range(0, len(images), _PER_ROW):
        part = slice(start, start + _PER_ROW)
        names = list(dict.fromkeys(predicted[part]))
        note = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        rows.append(Row(f"{far[part][0]:.1f} to {far[part][-1]:.1f} times", f"classed {note}"[:48], images[part]))
    heading = "Most unusual recent images: distance to known ones, against what is usual between known ones"
    return sheet(rows, heading=heading)
