"""What trained classifiers are asked beyond the test images: disturbed images, attacks, where they look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flows.learning import Division
from flows.ledger import Ledger
from synaug_core.config import Config
from synaug_core.evaluate.results import Comparison
from synaug_core.refs import ExplanationRef, RepetitionRef, RobustnessRef, RunRef
from tasks.explanation import explain_arms
from tasks.retraining import adopt_runs
from tasks.robustness import asked_of_one, probe_robustness

__all__ = ["disturb", "explain"]


def disturb(
    config: Config,
    division: Division,
    repetitions: Sequence[RepetitionRef],
    parents: Mapping[str, RunRef],
    ledger: Ledger,
) -> tuple[RobustnessRef, ...]:
    """Disturb and attack the division's test images and ask the first trainings of each arm."""
    if not config.robustness.enabled:
        return ()
    first = division.repetitions[: config.robustness.repetitions]
    asked = asked_of_one(config.robustness)
    with ledger.stage("robustness"):
        found = ledger.gather(
            "robustness",
            [
                (
                    f"{r.arm} {r.repetition}",
                    probe_robustness.submit(division.dataset, r, asked, config.seed, config.compute, parents[r.arm]),
                )
                for r in repetitions
                if r.repetition in first
            ],
        )
        for reference in found:
            adopt_runs(parents[reference.arm], (reference.run_id,))
    return tuple(found)


def explain(
    config: Config,
    division: Division,
    repetitions: Sequence[RepetitionRef],
    comparison: Comparison,
    run: RunRef,
    ledger: Ledger,
) -> ExplanationRef | None:
    """Where the arms look, beside the best control (or the best arm, where there is no control)."""
    if not config.explanation.enabled:
        return None
    reference = comparison.best_control or comparison.best_arm
    with ledger.stage("explanation"):
        submitted = explain_arms.submit(
            division.dataset,
            tuple(r for r in repetitions if r.repetition in division.repetitions[:2]),
            reference,
            comparison.best_synthetic,
            config.explanation,
            config.seed,
            config.compute,
            run,
        )
        [found] = ledger.gather("explanation", [("maps", submitted)])
        adopt_runs(run, (found.run_id,))
    return found
