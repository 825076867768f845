"""Every division of the images: how they are divided, and what each comes to: images, classifiers, probes of these."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from flows.images import ArmImages, Assessed, Images, assess_arms, images_by_arm, make_images
from flows.process import set_libraries_aside
from flows.stages import Stages, Submitted
from synaug_core.classify.budget import resolve_steps
from synaug_core.classify.search_space import TrialSpec, Tuned, list_rungs, searched_arms
from synaug_core.config import ArmConfig, Config
from synaug_core.evaluate.results import Comparison
from synaug_core.probes import base, registry
from synaug_core.refs import DatasetRef, PickRef, ProbeRef, QualityRef, RepetitionRef, RunRef
from synaug_core.services.mlflow.tags import Tag
from tasks import picking, probes, retraining, training
from tasks.dataset import find_describer, prepare_dataset, prepare_divisions
from tasks.engine import machine
from tasks.engine.context import Context

__all__ = [
    "Division",
    "Learning",
    "compare_by_probes",
    "divide",
    "gather_probes",
    "learn",
    "shared_test_part",
]


@dataclass(frozen=True)
class Division:
    """Training, validation and test images, and what is trained on them.

    Attributes:
        context: the images, and the run below which what is made from the training images is recorded.
        repetitions: numbers of the trainings of each arm; over all divisions each number stands once.
    """

    context: Context
    repetitions: tuple[int, ...]

    @property
    def dataset(self) -> DatasetRef:
        """The images."""
        return self.context.dataset


@dataclass(frozen=True)
class Probing:
    """A probe under way, and the run below which it is recorded."""

    step: Submitted[ProbeRef]
    parent: RunRef


@dataclass(frozen=True)
class Learning:
    """What all divisions came to, in their order.

    Attributes:
        images: what the arms add to the real images.
        assessed: the sets of images whose quality was assessed.
        quality: the reports, in the order of `assessed`.
        repetitions: every training of every arm.
        picks: for each division, what the arms with candidates became.
        word: what a division is called, where there are several.
        probes: those that look at one training, of the first division's first trainings, under way.
    """

    images: tuple[Images, ...]
    assessed: tuple[Assessed, ...]
    quality: tuple[tuple[QualityRef, ...], ...]
    repetitions: tuple[RepetitionRef, ...]
    picks: tuple[tuple[PickRef, ...], ...]
    word: str | None = None
    probes: tuple[Probing, ...] = ()

    def reports(self) -> dict[str, QualityRef]:
        """Names of arms -> the report on their images, in the first division."""
        return dict(zip(self.assessed[0].arms.values(), self.quality[0], strict=True))

    def by_arm(self, config: Config) -> list[dict[str, ArmImages]]:
        """For each division, each arm's synthetic images and the report on them."""
        parts = zip(self.images, self.assessed, self.quality, strict=True)
        return [images_by_arm(config, images, assessed, quality) for images, assessed, quality in parts]

    def notes(self) -> tuple[str, ...]:
        """What the user should know of generators, images and chosen arms: each line once, with the divisions that it
        is about where these are not all; then of arms that were still learning when their steps ended."""
        numbers_of: dict[str, list[int]] = {}
        for number, (images, picks) in enumerate(zip(self.images, self.picks, strict=True), start=1):
            for note in (*images.notes(), *(pick.note for pick in picks)):
                numbers_of.setdefault(note, []).append(number)
        notes = [self._with_divisions(note, numbers) for note, numbers in numbers_of.items()]
        return (*notes, *_notes_on_steps(self.repetitions))

    def _with_divisions(self, note: str, numbers: Sequence[int]) -> str:
        if len(numbers) == len(self.images):
            return note
        return f"{self.word}{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))} of {len(self.images)}: {note}"


def divide(config: Config, fingerprint: str, run: RunRef, stages: Stages) -> tuple[RunRef, tuple[Division, ...]]:
    """Read the images and divide them; the run with the data set's tags, and the divisions.

    In a cross-validation, and where each repetition draws its own images, everything that learns, the generators,
    filters and the search too, learns inside each fold or draw.
    """
    word = config.data.split.division_word
    oracles = tuple(arm.synthesis for arm in config.arms if arm.synthesis is not None and arm.is_positive_control)
    with stages.timed("dataset"):
        chosen = (config.data, fingerprint, config.seed, config.most_pixels, oracles)
        source = (config.name, *chosen, find_describer(config.data), config.compute)
        if word is None:
            one = stages.submit("dataset", prepare_dataset, [(config.name, (*source, run))])
            datasets: tuple[DatasetRef, ...] = tuple(stages.gather(one))
        else:
            several = stages.submit("dataset", prepare_divisions, [(config.name, (*source, config.repetitions, run))])
            [datasets] = stages.gather(several)
        retraining.adopt_runs(run, (datasets[0].run_id,))
    run = run.model_copy(update={"tags": run.tags | {Tag.DATASET_DIGEST: datasets[0].digest}})
    runs: tuple[RunRef, ...] = (run,)
    numbers = [tuple(range(config.repetitions))]
    if word is not None:
        runs = retraining.open_divisions(run, word, tuple(dataset.digest for dataset in datasets))
        numbers = [(n,) for n in range(len(datasets))]
    contexts = [
        Context(dataset=dataset, seed=config.seed, compute=config.compute, run=below)
        for dataset, below in zip(datasets, runs, strict=True)
    ]
    return run, tuple(Division(context, n) for context, n in zip(contexts, numbers, strict=True))


def shared_test_part(config: Config, divisions: Sequence[Division]) -> Division:
    """The first division, with all repetitions that have its test images: those of every draw, of one fold alone."""
    first = divisions[0]
    if not config.data.split.draws:
        return first
    return Division(first.context, tuple(n for division in divisions for n in division.repetitions))


def learn(
    configs: Sequence[Config], divisions: Sequence[Division], arm_runs: Mapping[str, RunRef], stages: Stages
) -> Learning:
    """Make the images of every division, choose among candidates, search, train every arm, and begin to probe the first
    trainings; trainings of one division run beside the generators of the next, and probes beside what follows. The
    configurations, one for each division, differ in the classifier alone."""
    config = configs[0]
    all_images: list[Images] = []
    assessed: list[Assessed] = []
    trainings: list[Submitted[RepetitionRef]] = []
    all_picks: list[tuple[PickRef, ...]] = []
    spare = (
        machine.worker_count(config.compute) > config.tuning.parallel
    )  # where trials need all, images are judged after them
    expected = len(config.arms) * sum(len(division.repetitions) for division in divisions)
    for own, division in zip(configs, divisions, strict=True):
        resolved = _with_steps(own, division)
        images = make_images(resolved, division.context, stages, len(division.repetitions))
        if not all_images:
            set_libraries_aside()
        all_images.append(images)
        assess = partial(assess_arms, resolved, division.context, images, stages)
        early = assess() if spare else None
        all_picks.append(_pick(resolved, division.context, stages, len(divisions)))
        resolved = _with_picks(resolved, all_picks[-1])
        tuned = _tune(resolved, division.context, images, stages, len(divisions))
        assessed.append(early or assess())
        jobs = _trainings(resolved, division, images, tuned, arm_runs)
        trainings += stages.submit("training", training.train_repetition, jobs, expected)
    probing: list[Probing] = []
    probed = shared_test_part(config, divisions)
    with stages.timed("training"):
        repetitions = stages.gather(
            trainings, then=lambda done: probing.extend(_probe(config, probed, done, arm_runs, stages))
        )
    with stages.timed("quality"):
        quality = [
            tuple(stages.gather(sets.steps, adopt_below=division.context.run))
            for division, sets in zip(divisions, assessed, strict=True)
        ]
    word = config.data.split.division_word
    return Learning(
        images=tuple(all_images),
        assessed=tuple(assessed),
        quality=tuple(quality),
        repetitions=tuple(repetitions),
        picks=tuple(all_picks),
        word=word,
        probes=tuple(probing),
    )


def _probe(
    config: Config, division: Division, training: RepetitionRef, parents: Mapping[str, RunRef], stages: Stages
) -> list[Probing]:
    """Begin each enabled probe that looks at one training, if it looks at this one of the division; it is recorded
    below the training's arm."""
    started: list[Probing] = []
    parent, name = parents[training.arm], f"{training.arm} {training.repetition}"
    for probe, section in registry.enabled_probes(config):
        numbers = division.repetitions[: probe.count_trainings(section)]
        if not probe.compares_arms and training.repetition in numbers:
            arguments = (probe.name, division.context.below(parent), (training,), probe.narrow(section), None)
            expected = len(config.arms) * len(numbers)
            [step] = stages.submit(probe.name, probes.run_probe, [(name, arguments)], expected)
            started.append(Probing(step, parent))
    return started


def compare_by_probes(
    config: Config,
    division: Division,
    repetitions: Sequence[RepetitionRef],
    comparison: Comparison,
    run: RunRef,
    stages: Stages,
) -> tuple[Probing, ...]:
    """Begin each enabled probe that compares the arms, on the first trainings of the division; recorded below `run`."""
    compared = base.ComparedArms.from_comparison(comparison)
    started: list[Probing] = []
    for probe, section in registry.enabled_probes(config):
        if probe.compares_arms:
            numbers = division.repetitions[: probe.count_trainings(section)]
            first = tuple(r for r in repetitions if r.repetition in numbers)
            arguments = (probe.name, division.context.below(run), first, probe.narrow(section), compared)
            [step] = stages.submit(probe.name, probes.run_probe, [(probe.label, arguments)])
            started.append(Probing(step, run))
    return tuple(started)


def gather_probes(started: Sequence[Probing], stages: Stages) -> tuple[ProbeRef, ...]:
    """What probes measured, in their order."""
    references: list[ProbeRef] = []
    for stage, equals in groupby(started, key=lambda probing: probing.step.stage):
        probings = tuple(equals)
        with stages.timed(stage):
            measured = stages.gather([probing.step for probing in probings])
            for reference, probing in zip(measured, probings, strict=True):
                retraining.adopt_runs(probing.parent, (reference.run_id,))
        references += measured
    return tuple(references)


def _with_steps(config: Config, division: Division) -> Config:
    """With a number where the classifier's steps are `auto`: one for all that is trained on this division."""
    classifier = resolve_steps(config.classifier, config.arms, division.dataset.train.counts)
    return config.model_copy(update={"classifier": classifier})


def _pick(config: Config, context: Context, stages: Stages, divisions: int) -> tuple[PickRef, ...]:
    """What each arm with candidates becomes in this division; without validation images the first of them."""
    arms = [config.classifier.narrow(arm) for arm in config.arms if arm.candidates]
    if not arms:
        return ()
    steps = config.classifier.steps_or_half(config.tuning.steps)
    with stages.timed("picking"):
        trials = [
            (f"{arm.name}: {candidate}", (context, arm, candidate, config.classifier, steps))
            for arm in arms
            for candidate in arm.candidates
            if context.dataset.val.images
        ]
        submitted = stages.submit("picking", picking.try_candidate, trials, (len(trials) + len(arms)) * divisions)
        results = stages.gather(submitted, adopt_below=context.run)
        jobs = []
        for arm in arms:
            own, results = (results[: len(arm.candidates)], results[len(arm.candidates) :]) if results else ([], [])
            jobs.append((arm.name, (context, arm, tuple(own))))
        return tuple(stages.gather(stages.submit("picking", picking.pick_candidate, jobs), adopt_below=context.run))


def _with_picks(config: Config, picks: Sequence[PickRef]) -> Config:
    """The configuration in which the arms are what they became."""
    chosen = {pick.arm: pick.candidate for pick in picks}
    arms = tuple(arm.become(chosen[arm.name]) if arm.name in chosen else arm for arm in config.arms)
    return config.model_copy(update={"arms": arms})


def _tune(config: Config, context: Context, images: Images, stages: Stages, divisions: int) -> dict[str, Tuned]:
    """The best parameters of each arm: of one search for all arms, or of one for each, all with equally many trials."""
    if config.tuning.trials == 0:
        return {arm.name: Tuned() for arm in config.arms}
    with stages.timed("tuning"):
        if config.tuning.scope == "per_arm":
            searches = len(config.arms) * divisions
            return {arm.name: _search(config, context, (arm,), images, stages, searches) for arm in config.arms}
        searched = searched_arms(config.tuning, config.arms)
        shared = _search(config, context, searched, images, stages, divisions)
        return {arm.name: shared for arm in config.arms}


def _search(
    config: Config, context: Context, arms: tuple[ArmConfig, ...], images: Images, stages: Stages, searches: int
) -> Tuned:
    """One search; `searches` like it are made in all."""
    synthetic = {arm.name: images.synthetic[arm.name] for arm in arms}
    online = {arm.name: images.online[arm.name] for arm in arms}
    search = training.open_search(context, arms, synthetic, online, config.classifier, config.tuning)
    inside, entered = context.below(search.run), set[tuple[int, int]]()
    rungs = list_rungs(search.config)
    expected = searches * sum(rung.trials for rung in rungs)
    all_units = searches * len(arms) * sum(rung.trials * rung.steps for rung in rungs)

    def run(trials: tuple[TrialSpec, ...]) -> None:
        for steps, equals in groupby(trials, key=lambda trial: trial.steps):
            run_side_by_side(tuple(equals), len(arms) * steps)

    def run_side_by_side(trials: tuple[TrialSpec, ...], units: int) -> None:
        entered.update((trial.number, trial.steps) for trial in trials)
        jobs = [
            (
                training.trial_name(trial, arms, config.tuning),
                (inside, arms, synthetic, online, config.classifier, search, trial),
            )
            for trial in trials
        ]
        submitted = stages.submit("tuning", training.run_trial, jobs, expected, units, all_units)
        results = stages.gather(submitted)
        training.enter_results(search, trials, tuple(results))

    if trials := training.ended_trials(search):
        run(trials)
    while trials := training.ask_trials(search):
        run(trials)
    # What a retraining of the same at the same time made meanwhile belongs to this one too.
    if trials := tuple(trial for trial in training.ended_trials(search) if (trial.number, trial.steps) not in entered):
        run(trials)
    return training.finish_search(search)


def _trainings(
    config: Config, division: Division, images: Images, tuned: Mapping[str, Tuned], arm_runs: Mapping[str, RunRef]
) -> list[tuple[str, tuple[object, ...]]]:
    """Name and arguments of every repetition of every arm; the arms of one repetition are a pair."""
    return [
        (
            f"{arm.name} {repetition}",
            (
                *(division.context.below(arm_runs[arm.name]), arm, repetition),
                *(images.for_repetition(arm.name, number), images.online[arm.name]),
                *(config.classifier, tuned[arm.name]),
            ),
        )
        for number, repetition in enumerate(division.repetitions)
        for arm in config.arms
    ]


def _notes_on_steps(repetitions: Sequence[RepetitionRef]) -> Iterator[str]:
    """A line for each arm most of whose trainings could have gone on."""
    for arm in dict.fromkeys(r.arm for r in repetitions):
        learning = [r.still_learning for r in repetitions if r.arm == arm]
        if sum(learning) > len(learning) / 2:
            yield f"{arm} was still learning when its steps ended; with more classifier.steps it may do better"
