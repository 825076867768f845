"""The search for hyper-parameters: one for all arms, or one for each, every one with the same number of trials."""

from __future__ import annotations

from flows.images import Images
from flows.ledger import Ledger
from synaug_core.classify.search_space import TrialSpec, Tuned
from synaug_core.config import ArmConfig, Config
from synaug_core.refs import DatasetRef, RunRef
from tasks.naming import trial_name
from tasks.tuning import ask_trials, ended_trials, finish_search, open_search, run_trial, tell_trials

__all__ = ["tune"]


def tune(config: Config, dataset: DatasetRef, made: Images, run: RunRef, ledger: Ledger) -> dict[str, Tuned]:
    """The best parameters found, by arm."""
    if config.tuning.trials == 0:
        return {arm.name: Tuned() for arm in config.arms}
    with ledger.stage("tuning"):
        if config.tuning.scope == "per_arm":
            trials = config.tuning.trials * len(config.arms)
            return {arm.name: _search((arm,), trials, config, dataset, made, run, ledger) for arm in config.arms}
        searched = tuple(arm for arm in config.arms if arm.name in config.tuning.arms) or config.arms[:1]
        shared = _search(searched, config.tuning.trials, config, dataset, made, run, ledger)
        return {arm.name: shared for arm in config.arms}


def _search(
    arms: tuple[ArmConfig, ...],
    expected: int,
    config: Config,
    dataset: DatasetRef,
    made: Images,
    run: RunRef,
    ledger: Ledger,
) -> Tuned:
    images = {arm.name: made.synthetic[arm.name] for arm in arms}
    online = {arm.name: made.online[arm.name] for arm in arms}
    search = open_search(dataset, arms, images, online, config.classifier, config.tuning, config.seed, run)
    told: set[int] = set()

    def make(trials: tuple[TrialSpec, ...]) -> None:
        told.update(trial.number for trial in trials)
        futures = [
            (
                trial_name(trial.number, arms, config.tuning),
                run_trial.submit(
                    dataset,
                    arms,
                    images,
                    online,
                    config.classifier,
                    search,
                    trial,
                    config.seed,
                    config.compute,
                    search.run,
                ),
            )
            for trial in trials
        ]
        tell_trials(search, trials, tuple(ledger.gather("tuning", futures, expected)))

    if trials := ended_trials(search):
        make(trials)
    while trials := ask_trials(search):
        make(trials)
    # What a retraining of the same at the same time made meanwhile belongs to this one too.
    if trials := tuple(trial for trial in ended_trials(search) if trial.number not in told):
        make(trials)
    return finish_search(search)
