"""Images in: read, checked, divided and stored."""

import contextlib
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from synaug_core import code_reach, devices, errors, refs
from synaug_core.config import ClassifierConfig, ComputeConfig, DataConfig, SynthesisConfig
from synaug_core.data import prepare, reading
from synaug_core.data.report import Rejected
from synaug_core.quality import features
from synaug_core.report import sheets
from synaug_core.report.dataset import counts_figure, dataset_page
from synaug_core.services.mlflow import retrainings
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.s3.mirror import mirrored
from synaug_core.services.settings import settings
from synaug_core.synthesis.plan import plan
from tasks.engine import machine, recording, storage
from tasks.engine.step import action, step
from tasks.fingerprint import is_remote, remote_fingerprint

__all__ = ["find_describer", "prepare_dataset", "prepare_divisions"]

_ANY_SIZE = 64


@action
def find_describer(config: DataConfig) -> features.Extractor | None:
    """The frozen backbone that related images are found by, if its weights can be had; None: none is asked for."""
    if config.duplicates.related != "features":
        return None
    return features.find_extractor(ClassifierConfig(), channels=3, size=_ANY_SIZE)


@step
def prepare_dataset(
    name: str,
    config: DataConfig,
    fingerprint: str,
    seed: int,
    most_pixels: int,
    oracles: tuple[SynthesisConfig, ...],
    describer: features.Extractor | None,
    compute: ComputeConfig,
    parent: refs.RunRef,
) -> refs.DatasetRef:
    """Read, check and split the images; one Parquet file a split, a preview sheet, the counts, the rejected files.

    `oracles` are what positive controls ask for: as many images are held back for them. By `describer` related images
    are found.
    """
    with (
        recording.recorded("dataset", "dataset", parent) as recorder,
        _at_hand(name, config, fingerprint) as (local, refused),
    ):
        progress = recording.progress("dataset", name)
        prepared = prepare.prepare(
            local,
            seed=seed,
            hold_back=bool(oracles),
            most_pixels=most_pixels,
            describe=_describe_by(describer, compute),
            progress=progress,
        )
        prepared = _with_note(_with_refused(prepared, refused), describer)
        dataset = _stored(recorder, prepared, name, config, oracles)
        _describe(recorder, prepared, dataset, config, fingerprint, seed)
    return dataset


@step
def prepare_divisions(
    name: str,
    config: DataConfig,
    fingerprint: str,
    seed: int,
    most_pixels: int,
    oracles: tuple[SynthesisConfig, ...],
    describer: features.Extractor | None,
    compute: ComputeConfig,
    repetitions: int,
    parent: refs.RunRef,
) -> tuple[refs.DatasetRef, ...]:
    """Read and check the images once, and divide them as a repeated k-fold cross-validation or in draws: a data set for
    each fold, those of a repetition one after the other, or for each draw, which share their test part. The pictures
    and counts are the first one's."""
    datasets: list[refs.DatasetRef] = []
    word = config.split.division_word
    with (
        recording.recorded("dataset", "dataset", parent) as recorder,
        _at_hand(name, config, fingerprint) as (local, refused),
    ):
        progress = recording.progress("dataset", name)
        for division in prepare.prepare_divisions(
            local,
            repetitions=repetitions,
            seed=seed,
            hold_back=bool(oracles),
            most_pixels=most_pixels,
            describe=_describe_by(describer, compute),
            progress=progress,
        ):
            prepared = _with_note(_with_refused(division, refused), describer)
            test = datasets[0].test if datasets and config.split.draws else None
            folder = f"{word}-{len(datasets)}/"
            datasets.append(_stored(recorder, prepared, name, config, oracles, folder, test))
            if len(datasets) == 1:
                _describe(recorder, prepared, datasets[0], config, fingerprint, seed)
        recorder.params({"folds": config.split.folds, "draws": config.split.draws, "repetitions": repetitions})
    return tuple(datasets)


def _describe_by(describer: features.Extractor | None, compute: ComputeConfig) -> prepare.Describe | None:
    """How images are described: by as many threads as there are workers, since nothing else runs while images are read;
    an image has the same features whoever is beside it."""
    if describer is None or describer.network is None:
        return None

    def describe(images: torch.Tensor) -> torch.Tensor:
        with machine.device_slot(compute) as device:
            if device.type != "cpu":
                return features.features_for_splits(images, device)

            def describe_part(part: torch.Tensor) -> torch.Tensor:
                with devices.cpu_threads(compute.threads):
                    return features.features_for_splits(part)

            workers = machine.worker_count(compute)
            with ThreadPoolExecutor(workers, thread_name_prefix="describe") as pool:
                return torch.cat(list(pool.map(describe_part, images.chunk(workers))))

    return describe


def _with_note(prepared: prepare.Prepared, describer: features.Extractor | None) -> prepare.Prepared:
    if describer is None or describer.network is not None:
        return prepared
    note = f"Related images were sought by their pixels alone: {describer.problem}."
    report = prepared.report.model_copy(update={"notes": (*prepared.report.notes, note)})
    return dataclasses.replace(prepared, report=report)


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
    recorder: Recorder,
    prepared: prepare.Prepared,
    name: str,
    config: DataConfig,
    oracles: tuple[SynthesisConfig, ...],
    folder: str = "",
    test: refs.ImageSetRef | None = None,
) -> refs.DatasetRef:
    """Store one division in its folder; the test part that draws share lies outside of these, once."""
    train = prepared.train
    if test is None:
        place = "" if config.split.draws else folder
        test = storage.store_images(recorder, prepared.test, f"{place}images/test.parquet", "test")
    train_ref, val_ref = (
        storage.store_images(recorder, images, f"{folder}images/{split}.parquet", split)
        for split, images in (("train", train), ("val", prepared.val))
    )
    held_back = None
    if oracles:
        plans = [plan(train.counts(), o.sampling_strategy, o.multiple) for o in oracles]
        most = {c: max(p.get(c, 0) for p in plans) for c in train.classes}
        images = prepared.held_back.head_of_each_class(most)
        held_back = storage.store_images(recorder, images, f"{folder}images/held_back.parquet", "held back")
    return refs.DatasetRef(
        name=name,
        digest=prepared.digest,
        classes=train.classes,
        channels=3 if train.channels == 3 else 1,
        image_size=train.size,
        fit=prepared.report.preprocessing.fit,
        scale=prepared.report.preprocessing.scale,
        train=train_ref,
        val=val_ref,
        test=test,
        report=storage.store_text(recorder, prepared.report.model_dump_json(indent=1), f"{folder}report.json"),
        rejected=len(prepared.report.rejected),
        run_id=recorder.run.run_id,
        folder=folder,
        held_back=held_back,
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
