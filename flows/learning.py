"""Every division of the images: how they are divided, and what each comes to, from synthetic images to classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from prefect.futures import PrefectFuture

from flows.images import Images, Judged, judge_images, make_images, of_arms
from flows.ledger import Ledger
from flows.process import set_libraries_aside
from synaug_core.classify.search_space import TrialSpec, Tuned
from synaug_core.config import ArmConfig, Config
from synaug_core.refs import DatasetRef, QualityRef, RepetitionRef, RunRef, SyntheticRef
from tasks.dataset import prepare_dataset, prepare_folds
from tasks.engine.machine import worker_count
from tasks.engine.naming import trial_name
from tasks.retraining import adopt_runs, open_folds
from tasks.training import train_repetition
from tasks.tuning import ask_trials, ended_trials, finish_search, open_search, run_trial, tell_trials

__all__ = ["Division", "Learnt", "divide", "learn", "train_arms", "tune"]


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


def train_arms(
    config: Config, division: Division, images: Images, tuned: Mapping[str, Tuned], parents: Mapping[str, RunRef]
) -> list[tuple[str, PrefectFuture[RepetitionRef]]]:
    """Begin every repetition of every arm; the arms of one repetition are a pair."""
    return [
        (
            f"{arm.name} {repetition}",
            train_repetition.submit(
                division.dataset,
                arm,
                repetition,
                images.synthetic[arm.name],
                images.online[arm.name],
                config.classifier,
                tuned[arm.name],
                config.seed,
                config.compute,
                parents[arm.name],
            ),
        )
        for repetition in division.repetitions
        for arm in config.arms
    ]


@dataclass(frozen=True)
class Learnt:
    """Of all divisions, in their order.

    Attributes:
        images: what the arms add to the real images.
        judged: the sets of images that were judged, by key.
        quality: what was found, in the order of `judged`.
        repetitions: every training of every arm.
    """

    images: tuple[Images, ...]
    judged: tuple[Judged, ...]
    quality: tuple[tuple[QualityRef, ...], ...]
    repetitions: tuple[RepetitionRef, ...]

    def reports(self) -> dict[str, QualityRef]:
        """Names of arms -> what was found of their images, in the first division."""
        return {name: found for (name, _), found in zip(self.judged[0].values(), self.quality[0], strict=True)}

    def by_arm(self, config: Config) -> list[dict[str, tuple[tuple[SyntheticRef, ...], QualityRef | None]]]:
        """For each division, each arm's synthetic images and what was found of them."""
        parts = zip(self.images, self.judged, self.quality, strict=True)
        return [of_arms(config, images, judged, quality) for images, judged, quality in parts]

    def notes(self) -> tuple[str, ...]:
        """What the user should know of generators and images: each line once, with the folds that it is about where
        these are not all."""
        about: dict[str, list[int]] = {}
        for number, images in enumerate(self.images, start=1):
            for note in images.notes():
                about.setdefault(note, []).append(number)
        return tuple(_of_folds(note, numbers, len(self.images)) for note, numbers in about.items())


def learn(config: Config, divisions: Sequence[Division], parents: Mapping[str, RunRef], ledger: Ledger) -> Learnt:
    """Make the images of every division, search, and train every arm; trainings of one division run beside the
    generators of the next."""
    images: list[Images] = []
    judged: list[Judged] = []
    trained: list[tuple[str, PrefectFuture[RepetitionRef]]] = []
    spare = worker_count(config.compute) > config.tuning.parallel  # where trials need all, images are judged after them
    expected = len(config.arms) * sum(len(division.repetitions) for division in divisions)
    for division in divisions:
        made = make_images(config, division.dataset, division.run, ledger)
        if not images:
            set_libraries_aside()
        images.append(made)
        judge = partial(judge_images, config, division.dataset, made, division.run, ledger)
        early = judge() if spare else None
        tuned = tune(config, division.dataset, made, division.run, ledger)
        judged.append(judge() if early is None else early)
        begun = train_arms(config, division, made, tuned, parents)
        trained += ledger.follow("training", begun, expected)
    with ledger.stage("training"):
        repetitions = ledger.gather("training", trained)
    with ledger.stage("quality"):
        quality = [tuple(ledger.gather("quality", list(parts.values()))) for parts in judged]
        for division, found in zip(divisions, quality, strict=True):
            adopt_runs(division.run, tuple(one.run_id for one in found))
    return Learnt(tuple(images), tuple(judged), tuple(quality), tuple(repetitions))


def _of_folds(note: str, numbers: Sequence[int], folds: int) -> str:
    if len(numbers) == folds:
        return note
    return f"fold{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))} of {folds}: {note}"
