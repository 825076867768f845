"""Images in: read, checked, split, stored."""

from __future__ import annotations

from synaug_core.config import DataConfig
from synaug_core.refs import DatasetRef, RunRef
from tasks.recording import recorded
from tasks.reporting import progress
from tasks.step import action, step

__all__ = ["prepare_dataset", "read_fingerprint"]


@action
def read_fingerprint(config: DataConfig) -> str:
    """The cheap digest of the source's bytes: unchanged data need not be read again."""
    from synaug_core.data.fingerprint import fingerprint

    return fingerprint(config)


@step("data")
def prepare_dataset(name: str, config: DataConfig, fingerprint: str, seed: int, parent: RunRef) -> DatasetRef:
    """Read, check and split the images; one Parquet file a split, a preview sheet, the counts, the rejected files."""
    from synaug_core.data.prepare import prepare
    from synaug_core.report import sheets
    from synaug_core.report.dataset import dataset_page
    from synaug_core.report.figures.counts import counts_figure
    from tasks.storing import store_images, store_text

    with recorded("dataset", "dataset", parent) as recorder:
        prepared = prepare(config, seed=seed, progress=progress("dataset", name))
        splits = {"train": prepared.train, "val": prepared.val, "test": prepared.test}
        stored = {
            split: store_images(recorder, images, f"images/{split}.parquet", split) for split, images in splits.items()
        }
        train = prepared.train
        dataset = DatasetRef(
            name=name,
            digest=prepared.digest,
            classes=train.classes,
            channels=3 if train.channels == 3 else 1,
            image_size=train.size,
            fit=config.fit,
            train=stored["train"],
            val=stored["val"],
            test=stored["test"],
            report=store_text(recorder, prepared.report.model_dump_json(indent=1), "report.json"),
            rejected=len(prepared.report.rejected),
            run_id=recorder.run.run_id,
        )
        recorder.tags({"synaug.dataset_digest": prepared.digest})
        recorder.params(
            {"source": config.source, "image_size": train.size, "channels": train.channels, "seed": seed}
            | {"classes": len(train.classes), "fingerprint": fingerprint[:16]}
        )
        recorder.metrics(
            {f"{split}/images": len(images) for split, images in splits.items()}
            | {"rejected": len(prepared.report.rejected), "removed": len(prepared.report.removed)}
        )
        for split, images in splits.items():
            recorder.dataset_input(images, name=f"{name}-{split}", digest=stored[split].sha256[:36], context=split)
            if len(images):
                recorder.figure(sheets.preview(images), f"figures/{split}.png")
        recorder.figure(counts_figure({s: i.counts() for s, i in splits.items()}), "figures/counts.png")
        recorder.text(dataset_page(prepared.report.model_dump(mode="json"), name=name), "dataset.html")
    return dataset
