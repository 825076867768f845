"""Images in: read, checked, divided and stored."""

import contextlib
import dataclasses
from collections.abc import Iterator

from synaug_core import code_reach, errors, refs
from synaug_core.config import DataConfig
from synaug_core.data import prepare, reading
from synaug_core.data.report import Rejected
from synaug_core.report import sheets
from synaug_core.report.dataset import counts_figure, dataset_page
from synaug_core.services.mlflow import retrainings
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.s3.mirror import mirrored
from synaug_core.services.settings import settings
from tasks.engine import recording, storage
from tasks.engine.step import step
from tasks.fingerprint import is_remote, remote_fingerprint

__all__ = ["prepare_dataset", "prepare_folds"]


@step
def prepare_dataset(name: str, config: DataConfig, fingerprint: str, seed: int, parent: refs.RunRef) -> refs.DatasetRef:
    """Read, check and split the images; one Parquet file a split, a preview sheet, the counts, the rejected files."""
    with (
        recording.recorded("dataset", "dataset", parent) as recorder,
        _at_hand(name, config, fingerprint) as (local, refused),
    ):
        prepared = _with_refused(
            prepare.prepare(local, seed=seed, progress=recording.progress("dataset", name)), refused
        )
        dataset = _stored(recorder, prepared, name, config)
        _describe(recorder, prepared, dataset, config, fingerprint, seed)
    return dataset


@step
def prepare_folds(
    name: str, config: DataConfig, fingerprint: str, seed: int, repetitions: int, parent: refs.RunRef
) -> tuple[refs.DatasetRef, ...]:
    """Read and check the images once, and divide them as a repeated k-fold cross-validation: a data set for each fold,
    those of a repetition one after the other. The pictures and counts are the first one's."""
    datasets: list[refs.DatasetRef] = []
    with (
        recording.recorded("dataset", "dataset", parent) as recorder,
        _at_hand(name, config, fingerprint) as (local, refused),
    ):
        for fold in prepare.prepare_folds(
            local, repetitions=repetitions, seed=seed, progress=recording.progress("dataset", name)
        ):
            prepared = _with_refused(fold, refused)
            datasets.append(_stored(recorder, prepared, name, config, f"fold-{len(datasets)}/"))
            if len(datasets) == 1:
                _describe(recorder, prepared, datasets[0], config, fingerprint, seed)
        recorder.params({"folds": config.split.folds, "repetitions": repetitions})
    return tuple(datasets)


@contextlib.contextmanager
def _at_hand(name: str, config: DataConfig, fingerprint: str) -> Iterator[tuple[DataConfig, tuple[Rejected, ...]]]:
    """The configuration with a source that is on this machine, and the objects in S3 that could not come here."""
    if not is_remote(config):
        yield config, ()
        return
    with mirrored(config.source, settings(), recording.progress("dataset", name)) as mirror:
        if remote_fingerprint(config, mirror.fingerprint) != fingerprint:
            raise errors.DataError(f"data.source: {config.source} changed while the run began; start it again")
        refused = tuple(Rejected(path=r.name, reason=r.reason) for r in mirror.refused)
        reading.check_rejected(refused, mirror.objects, config.max_rejected)
        try:
            yield config.model_copy(update={"source": str(mirror.path)}), refused
        except errors.DataError as error:
            raise errors.DataError(str(error).replace(str(mirror.path), config.source)) from error


def _with_refused(prepared: prepare.Prepared, refused: tuple[Rejected, ...]) -> prepare.Prepared:
    if not refused:
        return prepared
    report = prepared.report.model_copy(update={"rejected": (*refused, *prepared.report.rejected)})
    return dataclasses.replace(prepared, report=report)


def _stored(
    recorder: Recorder, prepared: prepare.Prepared, name: str, config: DataConfig, place: str = ""
) -> refs.DatasetRef:
    train = prepared.train
    sets = {"train": train, "val": prepared.val, "test": prepared.test}
    stored = {
        split: storage.store_images(recorder, images, f"{place}images/{split}.parquet", split)
        for split, images in sets.items()
    }
    return refs.DatasetRef(
        name=name,
        digest=prepared.digest,
        classes=train.classes,
        channels=3 if train.channels == 3 else 1,
        image_size=train.size,
        fit=config.fit,
        train=stored["train"],
        val=stored["val"],
        test=stored["test"],
        report=storage.store_text(recorder, prepared.report.model_dump_json(indent=1), f"{place}report.json"),
        rejected=len(prepared.report.rejected),
        run_id=recorder.run.run_id,
    )


@code_reach.records_only
def _describe(
    recorder: Recorder,
    prepared: prepare.Prepared,
    dataset: refs.DatasetRef,
    config: DataConfig,
    fingerprint: str,
    seed: int,
) -> None:
    """Tags, counts, previews and the page of a data set on its run."""
    train = prepared.train
    splits = {"train": train, "val": prepared.val, "test": prepared.test}
    stored = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    recorder.tags({Tag.DATASET_DIGEST: prepared.digest})
    recorder.params(
        {"source": config.source, "image_size": train.size, "channels": train.channels, "seed": seed}
        | {"classes": len(train.classes), "fingerprint": fingerprint[: retrainings.FINGERPRINT_LENGTH]}
    )
    recorder.metrics(
        {f"{split}/images": len(images) for split, images in splits.items()}
        | {"rejected": len(prepared.report.rejected), "removed": len(prepared.report.removed)}
    )
    previews = {split: sheets.preview(images) for split, images in splits.items() if len(images)}
    for split, images in splits.items():
        recorder.dataset_input(images, name=f"{dataset.name}-{split}", digest=stored[split].sha256[:36], context=split)
    for split, preview in previews.items():
        recorder.figure(preview, f"figures/{split}.png")
    recorder.figure(counts_figure({s: i.counts() for s, i in splits.items()}), "figures/counts.png")
    page = dataset_page(prepared.report.model_dump(mode="json"), name=dataset.name, sheets=previews)
    recorder.text(page, "dataset.html")
