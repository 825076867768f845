"""What trained classifiers are asked beyond the test images, without flow and tracking."""

from __future__ import annotations

import json

from benchmarks.core_job import Job, call
from benchmarks.core_training import Repetition
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.evaluate.results import Comparison
from synaug_core.explanation.explain import explain
from synaug_core.explanation.report import Explanation
from synaug_core.report.cams import cam_sheet
from synaug_core.robustness.measure import measure
from synaug_core.robustness.report import ArmRobustness, mean_curves
from synaug_core.seeds import derive

__all__ = ["disturbed", "explained"]


def disturbed(job: Job, of_arm: dict[str, list[Repetition]]) -> dict[str, ArmRobustness]:
    """Each arm's mean curves over its first trainings."""
    config = job.config.robustness
    if not config.enabled:
        return {}
    asked = [(arm, one) for arm, done in of_arm.items() for one in done[: config.repetitions]]
    seed = derive(job.config.seed, "robustness")
    found = job.side_by_side([call(measure, one.classifier, job.data.test, config, seed) for _, one in asked])
    for number, one in enumerate(found):
        job.place(f"robustness/{number}.json").write_text(one.model_dump_json(indent=1), encoding="utf-8")
    return {arm: mean_curves([f for f, (name, _) in zip(found, asked, strict=True) if name == arm]) for arm in of_arm}


def explained(job: Job, comparison: Comparison, of_arm: dict[str, list[Repetition]]) -> Explanation | None:
    """Where the arms look, and the sheet of it."""
    if not job.config.explanation.enabled:
        return None
    reference = comparison.best_control or comparison.best_arm
    again = of_arm[reference][1] if len(of_arm[reference]) > 1 else None
    found = explain(
        {arm: call(_classifier, done[0]) for arm, done in of_arm.items()},
        {arm: [one.predictions for one in done[:2]] for arm, done in of_arm.items()},
        job.data.test,
        reference=reference,
        best=comparison.best_synthetic,
        again=None if again is None else call(_classifier, again),
        images=job.config.explanation.images,
        seed=derive(job.config.seed, "explanation"),
    )
    job.keep(cam_sheet(found.explanation, found.shown, found.maps, heading="maps"), "figures/cams.png")
    job.place("explanation.json").write_text(json.dumps(found.explanation.model_dump(mode="json")), encoding="utf-8")
    return found.explanation


def _classifier(repetition: Repetition) -> TrainedClassifier:
    return repetition.classifier
