"""The divisions of the images that an arm is trained on: one split, or the folds of a cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

from flows.ledger import Ledger
from synaug_core.config import Config
from synaug_core.refs import DatasetRef, RunRef
from tasks.dataset import prepare_dataset, prepare_folds
from tasks.retraining import adopt_runs, open_folds

__all__ = ["Division", "divide"]


@dataclass(frozen=True)
class Division:
    """Training, validation and test images, and what is trained on them.

    Attributes:
        dataset: the images.
        run: where what is made from its training images is recorded.
        repetitions: numbers of the trainings of each arm; over all divisions each number stands once.
    """

    dataset: DatasetRef
    run: RunRef
    repetitions: tuple[int, ...]


def divide(config: Config, fingerprint: str, run: RunRef, ledger: Ledger) -> tuple[RunRef, tuple[Division, ...]]:
    """Read the images and divide them; the run with the data set's tags, and the divisions.

    In a cross-validation everything that learns, the generators, filters and the search too, learns inside each fold.
    """
    folds = config.data.split.folds
    with ledger.stage("dataset"):
        if folds is None:
            one = prepare_dataset.submit(config.name, config.data, fingerprint, config.seed, run)
            found: tuple[DatasetRef, ...] = tuple(ledger.gather("dataset", [(config.name, one)]))
        else:
            many = prepare_folds.submit(config.name, config.data, fingerprint, config.seed, config.repetitions, run)
            [found] = ledger.gather("dataset", [(config.name, many)])
        adopt_runs(run, (found[0].run_id,))
    run = run.model_copy(update={"tags": run.tags | {"synaug.dataset_digest": found[0].digest}})
    if folds is None:
        return run, (Division(found[0], run, tuple(range(config.repetitions))),)
    runs = open_folds(run, tuple(dataset.digest for dataset in found))
    return run, tuple(Division(d, r, (n,)) for n, (d, r) in enumerate(zip(found, runs, strict=True)))
