"""How much of a trained classifier's accuracy is left on disturbed and attacked test images."""

from __future__ import annotations

from synaug_core.config import ComputeConfig, RobustnessConfig
from synaug_core.refs import DatasetRef, RepetitionRef, RobustnessRef, RunRef
from tasks.engine.progress import progress
from tasks.engine.recording import recorded
from tasks.engine.slots import device_slot
from tasks.engine.step import step

__all__ = ["asked_of_one", "probe_robustness"]


@step("data", "nets", "classify", "robustness")
def probe_robustness(
    dataset: DatasetRef,
    repetition: RepetitionRef,
    config: RobustnessConfig,
    seed: int,
    compute: ComputeConfig,
    parent: RunRef,
) -> RobustnessRef:
    """Disturb and attack the same test images for every arm and repetition, and count what is still found."""
    from synaug_core.robustness.measure import measure
    from synaug_core.seeds import derive
    from tasks.engine.loading import load_classifier, load_images
    from tasks.engine.storing import store_text

    arm, number = repetition.arm, repetition.repetition
    tags = {"synaug.arm": arm, "synaug.seed": str(number)}
    name = f"{arm} {number}"
    with (
        recorded("robustness", f"robustness {name}", parent, tags) as recorder,
        device_slot(compute) as device,
    ):
        found = measure(
            load_classifier(repetition.classifier),
            load_images(dataset.test),
            config,
            derive(seed, "robustness"),
            device,
            progress("robustness", name),
        )
        recorder.params(config.model_dump(exclude={"enabled", "repetitions"}))
        recorder.metrics(found.metrics() | {"robust/images": found.images})
        stored = store_text(recorder, found.model_dump_json(indent=1), "robustness.json")
    return RobustnessRef(**stored.model_dump(), arm=arm, repetition=number)


def asked_of_one(config: RobustnessConfig) -> RobustnessConfig:
    """The part of the configuration that one classifier's figures depend on: asking more trainings later does not
    ask the earlier ones again."""
    kept = config.model_dump(exclude={"enabled", "repetitions"})
    return RobustnessConfig.model_validate(kept)
