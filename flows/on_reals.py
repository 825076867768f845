"""What is trained on real images only, and so can begin beside the generators: targets, and the judges."""

from __future__ import annotations

from typing import NamedTuple

from prefect.futures import PrefectFuture

from flows.ledger import Ledger
from synaug_core.config import Config
from synaug_core.refs import ClassifierRef, DatasetRef, JudgesRef, RunRef
from tasks.machine import worker_count
from tasks.real_only import fit_judges, fit_target, share_judges
from tasks.retraining import adopt_runs

__all__ = ["OnReals", "begin_on_reals", "end_on_reals"]


class OnReals(NamedTuple):
    """Classifiers of real images under way, by name: targets, and the parts of at most one panel of judges."""

    targets: tuple[tuple[str, PrefectFuture[ClassifierRef]], ...]
    judges: tuple[tuple[str, PrefectFuture[JudgesRef]], ...]


def begin_on_reals(
    config: Config, dataset: DatasetRef, *, targets: int, judges: bool, run: RunRef, ledger: Ledger
) -> OnReals:
    """Submit so many targets and, where they are wanted, the judges: first what takes longest."""
    parts = share_judges(config.judge, worker_count(config.compute)) if judges else {}
    panel = tuple(
        (
            name,
            fit_judges.submit(
                dataset, name, left_out, config.classifier, config.judge, config.seed, config.compute, run
            ),
        )
        for name, left_out in parts.items()
    )
    aims = tuple(
        (f"target {n}", fit_target.submit(dataset, n, config.classifier, config.seed, config.compute, run))
        for n in range(targets)
    )
    ledger.follow("judge", panel)
    ledger.follow("judge", aims)
    return OnReals(aims, panel)


def end_on_reals(
    begun: OnReals, run: RunRef, ledger: Ledger
) -> tuple[tuple[ClassifierRef, ...], tuple[JudgesRef, ...]]:
    """Wait for them: targets, and the panel in its parts."""
    aims = tuple(ledger.gather("judge", begun.targets))
    panel = tuple(ledger.gather("judge", begun.judges))
    adopt_runs(run, tuple(reference.run_id for reference in (*aims, *panel)))
    return aims, panel
