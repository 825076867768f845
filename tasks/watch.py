"""A look at what the champion was asked of late, beside the images it was judged on."""

import datetime as dt
import itertools
import tempfile
from pathlib import Path
from typing import cast

from PIL.Image import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas import filters, objects
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from synaug_core import digests, errors, frozen, refs, seeds
from synaug_core.classify import trained
from synaug_core.config import Config
from synaug_core.drift import inputs, mmd
from synaug_core.drift.finding import Finding, detect_drift, reference_rows
from synaug_core.report import sheets
from synaug_core.report.figures import drift
from synaug_core.services.mlflow import runs
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.models import exported, registry, training_images
from synaug_core.services.settings import settings
from synaug_core.serving import log
from tasks.engine import machine, step

__all__ = ["Observation", "compare_inputs", "start_retraining"]

_CUT_SHORT = (objects.StateType.CANCELLED, objects.StateType.CRASHED)


class Observation(frozen.Frozen):
    """What one comparison of recent inputs came to, and the run that has it."""

    run: refs.RunRef
    model: str
    version: str
    finding: Finding


@step.action
def compare_inputs(config: Config) -> Observation:
    """Compare recent inputs of the champion with the images behind it, and record what was found.

    Without new inputs the run of the comparison before is found again.

    Raises:
        UserError: there is no champion, or nobody knows which images it was made from.
    """
    watch, name = config.watch, f"synaug-{config.name}"
    version = registry.current(settings(), name, "champion")
    if version is None:
        raise errors.UserError(f"{name} has no champion, so there is nothing to watch; `synaug run` registers one")
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=watch.days) if watch.days else None
    recent = log.read_recent(
        log.log_folder(settings(), name),
        most=watch.window,
        since=since,
        features_of=version.version if watch.features in ("auto", "classifier") else None,
    )
    key = digests.of_value(
        [name, version.version, frozen.identity(watch), config.seed, [(k.digest, k.pixels is None) for k in recent]]
    )
    with runs.recording(
        settings(),
        experiment=f"synaug/{config.name}",
        key=key,
        stage="watch",
        name=f"watch version {version.version}",
        tags={Tag.DATASET: config.name, Tag.MODEL: name, Tag.VERSION: version.version},
    ) as recorder:
        with machine.device_slot(config.compute) as device, tempfile.TemporaryDirectory(prefix="synaug-") as folder:
            stored = exported.classifier_folder(settings(), version.source, Path(folder))
            finding, sheet = _compare(config, version, recent, trained.TrainedClassifier.load(stored, device))
        recorder.params(watch.model_dump(mode="json") | {"features": finding.features})
        recorder.tags({Tag.VERDICT: finding.verdict, Tag.NOTE: finding.sentence})
        recorder.metrics(finding.metrics())
        recorder.json(finding.model_dump(mode="json") | {"sentence": finding.sentence}, "watch.json")
        if finding.mmd is not None:
            recorder.figure(drift.distance_figure(finding), "figures/distance.png")
            recorder.figure(drift.classes_figure(finding), "figures/classes.png")
        if sheet is not None:
            recorder.figure(sheet, "figures/unusual.png")
    return Observation(run=recorder.run, model=name, version=version.version, finding=finding)


@step.action
def start_retraining(observation: Observation, deployment: str) -> tuple[str, bool]:
    """Start a deployment because of drift, once for a model version: while the same version is served, drift is found
    at every look, and a retraining that did not help the first time would not help the next. One that never came to an
    end, because the deployment's limit cancelled it or its process died, does not count.

    Returns:
        The flow run's id, and whether it was started now.

    Raises:
        UserError: there is no such deployment.
    """
    first = key = f"synaug-drift/{deployment}/{observation.model}/{observation.version}"
    with get_client(sync_client=True) as client:
        for number in itertools.count(1):  # a key stands for one run for ever, also for one that was cancelled
            same = filters.FlowRunFilter(idempotency_key=filters.FlowRunFilterIdempotencyKey(any_=[key]))
            earlier = client.read_flow_runs(flow_run_filter=same, limit=1)
            if not earlier:
                break
            if earlier[0].state_type not in _CUT_SHORT:
                return str(earlier[0].id), False
            key = f"{first}/{number}"
    try:
        run = cast(
            objects.FlowRun,  # a coroutine only where a loop is running
            run_deployment(
                deployment,
                timeout=0,
                as_subflow=False,
                idempotency_key=key,
                tags=["drift"],
            ),
        )
    except ObjectNotFound as error:
        raise errors.UserError(
            f"watch.deployment: there is no deployment {deployment!r} on this Prefect server"
        ) from error
    return str(run.id), True


def _compare(
    config: Config, version: registry.ModelVersion, recent: list[log.LoggedImage], classifier: trained.TrainedClassifier
) -> tuple[Finding, Image | None]:
    """The finding, and a sheet of the most unusual recent images where they were kept."""
    watch, seed = config.watch, seeds.derive(config.seed, "watch")
    kind = inputs.choose_features(watch.features, recent, classifier, watch.minimum)
    recent_inputs = inputs.gather_recent(recent, classifier, kind)
    splits = ("val", "test") if watch.reference == "held_out" else ("train",)
    images = training_images.images_behind(settings(), version, splits).images
    reference, reference_classes = inputs.describe_images(images[reference_rows(len(images), seed)], classifier, kind)
    finding = detect_drift(
        reference,
        recent_inputs.features,
        reference_classes.numpy(),
        recent_inputs.classes.numpy(),
        classifier.classes,
        config=watch,
        seed=seed,
    ).model_copy(update={"features": kind})
    if not len(recent_inputs.pixels) or not watch.unusual or not len(reference):
        return finding, None
    far, order, relative = mmd.rank_unusual(reference, recent_inputs.features[: len(recent_inputs.pixels)])
    first = order[: watch.unusual]
    predicted = [classifier.classes[i] for i in recent_inputs.classes[first].tolist()]
    return finding, sheets.unusual_sheet(
        recent_inputs.pixels[first], far[: watch.unusual].tolist(), predicted, relative=relative
    )
