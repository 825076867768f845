"""An arm with candidates becomes the one that is best on the validation images, in short trainings of equal length."""

from statistics import fmean

from synaug_core import errors, refs, seeds
from synaug_core.classify import ensemble
from synaug_core.classify.training import TrainingJob
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.progress import part_of
from synaug_core.services.mlflow.tags import Tag
from tasks.engine import machine, recording, storage
from tasks.engine.context import Context
from tasks.engine.step import step

__all__ = ["choose", "pick_candidate", "try_candidate"]

_TRAININGS = 2
"""Of each candidate, with seeds of their own: one alone is half chance."""


@step
def try_candidate(
    context: Context, arm: ArmConfig, candidate: str, config: ClassifierConfig, steps: int
) -> refs.CandidateResult:
    """Train an arm as one of its candidates, from the initial weights that the other candidates have too."""
    as_candidate = arm.become(candidate)
    fitted = config.model_copy(update={"steps": steps})
    show = recording.progress("picking", f"{arm.name}: {candidate}")
    saved = recording.checkpoint()
    scores: list[float] = []
    with (
        recording.recorded("candidate", f"{arm.name}: {candidate}", context.run, {Tag.ARM: arm.name}) as recorder,
        machine.device_slot(context.compute) as device,
    ):
        recorder.params(as_candidate.model_dump() | {"candidate": candidate, "steps": steps})
        train, val = storage.load_images(context.dataset.train), storage.load_images(context.dataset.val)
        try:
            for number in range(_TRAININGS):
                classifier = ensemble.train_arm(
                    TrainingJob(
                        fitted,
                        as_candidate,
                        train,
                        val,
                        init_seed=seeds.derive(context.seed, "init", "picking", number),
                        batch_seed=seeds.derive(context.seed, "batches", "picking", number),
                        device=device,
                        precision=context.compute.precision,
                        progress=part_of(show, before=number * steps, total_steps=_TRAININGS * steps),
                        checkpoint=saved.part(str(number)),
                        deadline=context.compute.deadline,
                    )
                )
                scores.append(classifier.history.best_score or 0.0)
                recorder.metrics({f"val/balanced_accuracy/{number}": scores[-1]})
        except errors.DivergenceError as error:
            scores = []
            recorder.tags({Tag.OUTCOME: type(error).__name__, Tag.REASON: str(error)})
        value = fmean(scores) if scores else None
        recorder.metrics({"val/balanced_accuracy": value})
        result = refs.CandidateResult(candidate=candidate, value=value, run_id=recorder.run.run_id)
    saved.clear()
    return result


@step
def pick_candidate(context: Context, arm: ArmConfig, results: tuple[refs.CandidateResult, ...]) -> refs.PickRef:
    """Choose among the candidates that were tried, and record how each did."""
    scores = {result.candidate: result.value for result in results if result.value is not None}
    candidate = choose(arm.candidates, scores)
    with recording.recorded("picking", f"{arm.name}: {candidate}", context.run, {Tag.ARM: arm.name}) as recorder:
        recorder.params({"candidate": candidate, "candidates": ", ".join(arm.candidates)})
        recorder.metrics({f"val/balanced_accuracy/{name}": value for name, value in scores.items()})
        return refs.PickRef(
            arm=arm.name,
            candidate=candidate,
            scores=scores,
            candidates=len(arm.candidates),
            run_id=recorder.run.run_id,
        )


def choose(candidates: tuple[str, ...], scores: dict[str, float]) -> str:
    """The candidate with the highest score, of equals the first; the first of all where none has a score."""
    return max(candidates, key=lambda name: scores.get(name, float("-inf")))
