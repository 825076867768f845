"""One training of one arm, and what it says of the test images."""

from __future__ import annotations

from synaug_core.classify.search_space import Tuned
from synaug_core.config import ArmConfig, ClassifierConfig, ComputeConfig
from synaug_core.refs import DatasetRef, GeneratorRef, RepetitionRef, RunRef, SyntheticRef
from tasks.predicting import predictions
from tasks.recording import checkpoint, recorded
from tasks.reporting import progress
from tasks.slots import device_slot
from tasks.step import step

__all__ = ["train_repetition"]


@step("data", "nets", "generators", "synthesis", "classify", "evaluate")
def train_repetition(
    dataset: DatasetRef,
    arm: ArmConfig,
    repetition: int,
    synthetic: tuple[SyntheticRef, ...],
    online: tuple[GeneratorRef, ...],
    config: ClassifierConfig,
    tuned: Tuned,
    seed: int,
    compute: ComputeConfig,
    parent: RunRef,
) -> RepetitionRef:
    """Train, keep the classifier that `config.keep` calls best on the validation images, predict the test images once.

    The initial weights depend on the repetition alone, so that the arms of one repetition are a pair.
    """
    from synaug_core.classify.training import train
    from synaug_core.evaluate.metrics import scores
    from synaug_core.seeds import derive
    from tasks.loading import load_images
    from tasks.online import online_synthesis
    from tasks.storing import store_classifier, store_predictions
    from tasks.training_data import training_images

    saved = checkpoint()
    tags = {"synaug.arm": arm.name, "synaug.seed": str(repetition)}
    with recorded("repetition", f"{arm.name} {repetition}", parent, tags) as recorder, device_slot(compute) as device:
        images = training_images(dataset, arm, synthetic, tuned.synthetic_share)
        val, test = load_images(dataset.val), load_images(dataset.test)
        fitted = tuned.apply(config)
        classifier = train(
            fitted,
            arm,
            images,
            val,
            init_seed=derive(seed, "init", repetition),
            batch_seed=derive(seed, "batches", arm.name, repetition),
            device=device,
            progress=progress("training", f"{arm.name} {repetition}"),
            checkpoint=saved,
            deadline=compute.deadline,
            online=online_synthesis(dataset, arm, online, fitted, device),
        )
        seen_val = predictions(classifier, val, device)
        on_val = scores(seen_val)
        on_test = predictions(classifier, test, device)
        recorder.params(fitted.model_dump() | arm.model_dump() | {"training_images": len(images)})
        for seen in classifier.history.evaluations:
            recorder.metrics(seen.model_dump(exclude={"step"}), seen.step)
        recorder.metrics({"best_step": classifier.history.best_step, "steps": classifier.history.stopped_at})
        recorder.metrics({f"val/{name}": v for name, v in on_val.items() if "/" not in name})
        recorder.metrics({f"test/{name}": v for name, v in scores(on_test).items()})
        reference = RepetitionRef(
            arm=arm.name,
            repetition=repetition,
            validation=on_val["balanced_accuracy"],
            classifier=store_classifier(recorder, classifier),
            predictions=store_predictions(recorder, on_test, "predictions/test.parquet"),
            validated=store_predictions(recorder, seen_val, "predictions/val.parquet"),
            run_id=recorder.run.run_id,
        )
    saved.clear()
    return reference
