"""Deletes old retrainings, their images, what is cached of them and old files of this machine.

First the results of steps go, so that no retraining finds them any more. Then it is asked whether one has begun
meanwhile; only where none has are artifacts deleted. Killed at any moment, the next call ends what was begun.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from synaug_core.errors import UserError
from synaug_core.services import places
from synaug_core.services.locks import exclusive
from synaug_core.services.retention.leftovers import Leftover, find_leftovers, remove_leftover
from synaug_core.services.retention.rule import Plan, Policy, decide
from synaug_core.services.settings import settings
from tasks.engine.result_storage import StoredResult, delete_results, read_results, results_naming, runs_named_together

__all__ = ["Cleaned", "Cleaning", "clean", "plan_cleaning"]


@dataclass(frozen=True)
class Cleaning:
    """What a clean-up would delete.

    Attributes:
        experiments: name -> id of those that were looked at.
        plan: runs that go and stay.
        sizes: run -> bytes of its files and its models' files.
        models: run -> its logged models and their addresses.
        results: stored results of steps that go.
        leftovers: old files of this machine.
        freed: hidden runs of earlier clean-ups, without files.
    """

    experiments: dict[str, str]
    plan: Plan
    sizes: dict[str, int]
    models: dict[str, dict[str, str]]
    results: tuple[StoredResult, ...]
    leftovers: tuple[Leftover, ...]
    freed: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        parts = (self.sizes.values(), (r.size for r in self.results), (left.size for left in self.leftovers))
        return sum(sum(part) for part in parts)

    @property
    def is_empty(self) -> bool:
        """True where nothing would be deleted."""
        return not (self.plan.removed or self.results or self.leftovers)


@dataclass(frozen=True)
class Cleaned:
    """What was deleted.

    Attributes:
        runs: number of runs.
        busy: experiments that were left alone because something began there -> its run; old files stay then too.
        rows_stay: a server keeps the hidden runs' rows until its administrator runs `mlflow gc`.
        held: old files that a process uses.
    """

    runs: int
    busy: dict[str, str]
    rows_stay: bool
    held: int


def plan_cleaning(policy: Policy, only: Collection[str] = ()) -> Cleaning:
    """Look at everything and delete nothing.

    Args:
        policy: what stays.
        only: experiments (`synaug/NAME` or NAME); none: all.

    Raises:
        UserError: there is no such experiment.
    """
    from synaug_core.services.retention import facts as run_facts
    from synaug_core.services.retention import freeing

    current, now = settings(), time.time()
    experiments = run_facts.experiments(current)
    chosen = _chosen(experiments, only)
    results = read_results()
    # All experiments are read: a run of one may use what another made.
    runs = run_facts.read_runs(current, experiments)
    whole = decide(runs, run_facts.read_versions(current), runs_named_together(results), policy, now)
    old = [] if whole.busy else find_leftovers(current, policy.days, now)
    plan = _within(whole, chosen)
    runs_to_free = {run.id: run for run in plan.removed}
    models = freeing.models_of(current, list(chosen.values()), runs_to_free) if runs_to_free else {}
    artifact_places = [(run.id, place) for run in plan.removed for place in (run.artifacts, *models[run.id].values())]
    counted = freeing.sizes(current, [place for _, place in artifact_places])
    sizes = dict.fromkeys(runs_to_free, 0)
    for (run_id, _), size in zip(artifact_places, counted, strict=True):
        sizes[run_id] += size
    freed = tuple(run.id for run in runs if run.freed)
    return Cleaning(
        chosen, plan, sizes, models, tuple(results_naming(results, {*runs_to_free, *freed})), tuple(old), freed
    )


def clean(cleaning: Cleaning) -> Cleaned:
    """Delete what was planned.

    Raises:
        SynaugError: another clean-up runs on this machine.
        ArtifactError: a store refuses to delete; what is left is done by the next call.
    """
    current = settings()
    with exclusive(places.lock(current.home, "gc"), timeout=1.0):
        return _clean(cleaning)


def _clean(cleaning: Cleaning) -> Cleaned:
    from synaug_core.services.retention import facts as run_facts
    from synaug_core.services.retention import freeing

    current, plan = settings(), cleaning.plan
    delete_results(cleaning.results)
    busy = _under_way({run.experiment: cleaning.experiments[run.experiment] for run in plan.removed})
    runs = [run for run in plan.removed if run.experiment not in busy]
    for run in plan.thinned:
        if run.experiment not in busy:
            freeing.note_thinned(current, run.id)
    for run in runs:
        freeing.free(current, run.id, cleaning.models[run.id])
    models = [model for run in runs for model in cleaning.models[run.id]]
    forgotten = freeing.forget(current, [*(run.id for run in runs), *cleaning.freed], models)
    if cleaning.leftovers and not busy:  # any retraining of this machine may use them, also one of a new data set
        busy = _under_way(run_facts.experiments(current))
    held = 0 if busy else sum(not remove_leftover(left) for left in cleaning.leftovers)
    return Cleaned(runs=len(runs), busy=busy, rows_stay=bool(runs) and not forgotten, held=held)


def _under_way(experiments: Mapping[str, str]) -> dict[str, str]:
    """Those in which something runs -> its run."""
    from synaug_core.services.retention import facts as run_facts

    running = {name: run_facts.running_in(settings(), number) for name, number in experiments.items()}
    return {name: run for name, run in running.items() if run is not None}


def _chosen(experiments: dict[str, str], only: Collection[str]) -> dict[str, str]:
    if not only:
        return experiments
    names = [name if name in experiments else f"synaug/{name}" for name in only]
    if missing := [name for name in names if name not in experiments]:
        raise UserError(f"there is no experiment {missing[0]!r}; there are {', '.join(sorted(experiments)) or 'none'}")
    return {name: experiments[name] for name in names}


def _within(plan: Plan, chosen: Collection[str]) -> Plan:
    return Plan(
        removed=tuple(run for run in plan.removed if run.experiment in chosen),
        reasons=plan.reasons,
        busy={name: run for name, run in plan.busy.items() if name in chosen},
        thinned=tuple(run for run in plan.thinned if run.experiment in chosen),
    )
