"""The search for hyper-parameters, in rounds of trials that can be made side by side; the only file that knows Optuna.

What a search suggests depends on its seed, its configuration and the values of earlier rounds, and on nothing else:
not on which worker was faster, nor on where a run was killed. With halving all of that happens on the first rung; who
goes on to the next depends on the scores of a whole rung. One process asks; any number of processes on the same storage
report and tell. Asking twice at once is safe where the storage is a local file or a PostgreSQL database, and gives both
the same trials.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from synaug_core import digests, errors, seeds
from synaug_core.classify import locks, search_space
from synaug_core.config import Range, TuningConfig, Value

__all__ = [
    "Pruned",
    "Search",
    "ask",
    "below_median",
    "end_trial",
    "find_best_trial",
    "history",
    "importance",
    "list_ended_trials",
    "open_study",
    "report",
    "should_prune",
    "value_at",
    "watch",
]


_STARTUP = 5
"""Finished trials before the sampler models them; until then it draws at random."""
_FEWEST_FOR_IMPORTANCE = 6
_WARMUP = 0.25
"""Share of an arm's steps in which the first arm of a trial is not judged."""
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Search:
    """An open study. One for each thread or process; they meet in the storage."""

    study: optuna.Study
    seed: int
    config: TuningConfig
    initial: search_space.Tuned | None
    lock: locks.Lock

    def trials(self) -> list[FrozenTrial]:
        """The trials so far, by number, never more than the configuration has."""
        return self.study.get_trials(deepcopy=False)[: self.config.trials]

    def round_of(self, number: int) -> int:
        """Trials of one round know the values of earlier rounds only."""
        return number // self.config.parallel

    def rungs(self) -> tuple[search_space.Rung, ...]:
        """The parts of the search, the last with all steps."""
        return search_space.list_rungs(self.config)

    def distributions(self) -> dict[str, optuna.distributions.BaseDistribution]:
        """The search space in Optuna's terms; the initial value is one of the choices."""
        first = self.initial.values if self.initial else {}
        spaces = search_space.checked_spaces(self.config)
        return {
            k: optuna.distributions.FloatDistribution(space.low, space.high, log=space.log)
            if isinstance(space, Range)
            else optuna.distributions.CategoricalDistribution(tuple(dict.fromkeys((first.get(k, space[0]), *space))))
            for k, space in spaces.items()
        }


def open_study(
    storage: str, name: str, *, seed: int, config: TuningConfig, initial: search_space.Tuned | None = None
) -> Search:
    """Open a study, and create it if need be.

    Args:
        storage: path of a journal file (one host), or the URL of a database (`sqlite:///...`, `postgresql://...`).
        name: of the study within the storage.
        seed: of all suggestions.
        config: search space, number of trials, trials in a round, steps. Without halving a study may be opened again
            with more trials.
        initial: values of the first trial, moved into their ranges; what it leaves open is drawn.

    Raises:
        ConfigError: a value that a parameter cannot take, a storage that cannot be opened, or a study of this name
            that was made with other settings.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spaces = {
        k: space.model_dump() if isinstance(space, Range) else space
        for k, space in search_space.checked_spaces(config).items()
    }
    first = initial.model_dump() if initial else None
    rungs = search_space.list_rungs(config)
    made_with = digests.of_value([seed, spaces, config.parallel, config.pruner, first, rungs if len(rungs) > 1 else ()])
    # the first to open a database makes its tables, whatever study it asks for
    with _plainly(storage), locks.study_lock(storage, "synaug: open"):
        study = optuna.create_study(
            storage=_storage(storage),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )
        if study.user_attrs.get("made_with", made_with) != made_with:
            raise errors.ConfigError(
                f"tuning: the study {name!r} was made with other settings; give this one another name"
            )
        study.set_user_attr("made_with", made_with)
    return Search(study, seed, config, initial, locks.study_lock(storage, f"synaug: ask {name}"))


def ask(search: Search) -> tuple[search_space.TrialSpec, ...]:
    """The trials to make now: those left running by a process that died, and what is missing of their round; else the
    next round of up to `parallel`; else the next rung. Empty when all trials have ended.
    """
    with search.lock:
        _add_trials(search)
        for rung in range(len(search.rungs())):
            if waiting := [t for t in _entrants(search, rung) if not _has_ended(search, t, rung)]:
                return tuple(_spec(search, t, rung) for t in waiting)
            entrants = {t.number for t in _entrants(search, rung + 1)}
            for trial in search.trials():
                if trial.state == TrialState.RUNNING and trial.number not in entrants:
                    search.study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)
        return ()


def _add_trials(search: Search) -> None:
    """Fill up the round that is under way; where none is, begin the next one."""
    trials = search.trials()
    under_way = any(not _has_ended(search, t, 0) for t in trials)
    width, count = search.config.parallel, len(trials)
    ends = -(-count // width) * width if under_way else (count // width + 1) * width
    for number in range(count, min(ends, search.config.trials)):
        params = _suggest(search, number, search.trials())
        # one record in the storage: a kill leaves a whole trial or none
        search.study.add_trial(
            create_trial(state=TrialState.RUNNING, params=params, distributions=search.distributions())
        )


def _entrants(search: Search, rung: int) -> list[FrozenTrial]:
    """The trials of a rung: on the first all, then the best of the one before when that is complete, and always the
    initial values: what replaces them has to beat them with all steps."""
    trials = search.trials()
    if rung == 0:
        return trials
    before = _entrants(search, rung - 1)
    if rung == len(search.rungs()) or len(trials) < search.config.trials:
        return []
    scores = {t.number: value for t in before if (value := _score(search, t, rung - 1)) is not None}
    if not all(_has_ended(search, t, rung - 1) for t in before):
        return []
    ranks = sorted(scores, key=lambda number: (-scores[number], number))
    places = search.rungs()[rung].trials
    entrants = set(ranks[:places])
    if search.initial is not None and 0 in scores and 0 not in entrants:
        entrants = {0, *ranks[: places - 1]}
    return [trials[number] for number in sorted(entrants)]


def _score(search: Search, trial: FrozenTrial, rung: int) -> float | None:
    """What a trial came to on a rung; None while it has not ended there, and where it was pruned."""
    if rung + 1 < len(search.rungs()):
        return trial.intermediate_values.get(search.rungs()[rung].steps)
    return trial.value if trial.state == TrialState.COMPLETE else None


def _has_ended(search: Search, trial: FrozenTrial, rung: int) -> bool:
    return trial.state in _ENDED or _score(search, trial, rung) is not None


def list_ended_trials(search: Search) -> tuple[search_space.TrialSpec, ...]:
    """List the trials that have ended, rung by rung and by number."""
    return tuple(
        _spec(search, t, rung)
        for rung in range(len(search.rungs()))
        for t in _entrants(search, rung)
        if _has_ended(search, t, rung)
    )


def report(search: Search, spec: search_space.TrialSpec, position: int, value: float) -> None:
    """Report a trial's running score at a position (a step count over all its arms). Repeated, it counts once."""
    frozen = _frozen(search, spec)
    if not frozen.state.is_finished() and position not in frozen.intermediate_values:
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):  # another process was faster
            Trial(search.study, frozen._trial_id).report(value, position)


def should_prune(search: Search, spec: search_space.TrialSpec, position: int) -> bool:
    """True if the trial's score at a position is below the median of earlier rounds' trials there."""
    if search.config.pruner != "median":
        return False
    value = value_at(_frozen(search, spec).intermediate_values, position, carry=True)
    if value is None:
        return False
    earlier = [t for t in _earlier(search, spec.number, search.trials()) if t.state in _ENDED]
    curves = [(t.intermediate_values, t.state == TrialState.COMPLETE) for t in earlier]
    values = [value_at(curve, position, carry=carry) for curve, carry in curves]
    return below_median(value, [v for v in values if v is not None])


def watch(
    search: Search, spec: search_space.TrialSpec, *, steps: int, scores: Sequence[float] = ()
) -> Callable[[int, float], None]:
    """The `on_evaluation` of a trial's next arm: reports the running score and gives the trial up where it is behind.

    The running score is the mean of the scores of the trial's finished arms and the best so far in this one. Arms are
    trained in the same order in every trial, so that equal positions compare equal things. With halving only the ends
    of trainings count, and nothing is reported.

    Args:
        search: the open study.
        spec: the trial.
        steps: optimiser steps of one arm.
        scores: final scores of the arms trained before, in order.

    Returns:
        A function of step and score that raises `Pruned`.
    """
    top = float("-inf")

    def on_evaluation(step: int, score: float) -> None:
        nonlocal top
        top = max(top, score)
        if len(search.rungs()) > 1:
            return
        position = len(scores) * steps + step
        report(search, spec, position, fmean([*scores, top]))
        if position >= _WARMUP * steps and should_prune(search, spec, position):
            raise Pruned(f"trial {spec.number} is behind at position {position}")

    return on_evaluation


def end_trial(
    search: Search, spec: search_space.TrialSpec, value: float | None = None, *, pruned: bool = False
) -> None:
    """End a trial on its rung with its value, or for good as pruned (a training that diverged counts as pruned).
    Repeated, it counts once.

    Raises:
        ValueError: neither a finite value nor pruned.
    """
    if not pruned and (value is None or not abs(value) < float("inf")):
        raise ValueError(f"trial {spec.number}: a finite value is needed, got {value}")
    if value is not None and not pruned and spec.steps < search.rungs()[-1].steps:
        report(search, spec, spec.steps, value)
        return
    outcome = None if pruned else value
    state = TrialState.PRUNED if pruned else TrialState.COMPLETE
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):  # another process was faster
        search.study.tell(spec.number, outcome, state=state, skip_if_finished=True)


def find_best_trial(search: Search) -> search_space.BestTrial | None:
    """Find the best completed trial; None if none has completed."""
    ended = [(t.value, -t.number, t) for t in search.trials() if t.state == TrialState.COMPLETE and t.value is not None]
    if not ended:
        return None
    value, _, trial = max(ended, key=lambda e: e[:2])
    return search_space.BestTrial(number=trial.number, value=value, parameters=search_space.Tuned(values=trial.params))


def history(search: Search) -> tuple[search_space.TrialRow, ...]:
    """All trials, by number."""
    return tuple(
        search_space.TrialRow(
            number=t.number,
            round=search.round_of(t.number),
            state=t.state.name.lower(),
            value=t.value,
            parameters=search_space.Tuned(values=t.params),
            curve=dict(sorted(t.intermediate_values.items())),
        )
        for t in search.trials()
    )


def importance(search: Search) -> dict[str, float]:
    """Share of each parameter in reaching the best third of the completed trials, largest first; the sum is 1.

    PED-ANOVA (Watanabe et al., arXiv 2304.10255). Empty with fewer than six completed trials, or where the best third
    cannot be told from the rest. With halving the scores are those of the first rung, where all trials are.
    """
    scores = [(t, value) for t in search.trials() if (value := _score(search, t, 0)) is not None]
    done, values = [t for t, _ in scores], sorted((value for _, value in scores), reverse=True)
    if len(values) < _FEWEST_FOR_IMPORTANCE or values[-(-len(values) // 3) - 1] == values[-1]:
        return {}
    evaluator = PedAnovaImportanceEvaluator(target_quantile=1 / 3)
    return get_param_importances(_copy(search, done, optuna.samplers.RandomSampler(seed=0)), evaluator=evaluator)


def _suggest(search: Search, number: int, trials: Sequence[FrozenTrial]) -> dict[str, Value]:
    """A trial's parameters, from a copy of the study as its round saw it and a seed of its own."""
    earlier = [t for t in _earlier(search, number, trials) if _has_ended(search, t, 0)]
    earlier_trials = [t for t in trials if search.round_of(t.number) == search.round_of(number) and t.number < number]
    seed = seeds.derive(search.seed, "trial", number) % 2**32
    view = _copy(search, earlier, optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP))
    for t in earlier_trials:  # Optuna keeps away from trials that run, whatever came of them since
        view.add_trial(create_trial(state=TrialState.RUNNING, params=t.params, distributions=t.distributions))
    params: dict[str, Value] = dict(view.ask(search.distributions()).params)
    if number == 0 and search.initial is not None:
        for name, space in search_space.checked_spaces(search.config).items():
            value = search.initial.values.get(name, params[name])
            if isinstance(space, Range):
                value = min(max(float(value), space.low), space.high)
            params[name] = value
    return params


def _copy(search: Search, trials: Sequence[FrozenTrial], sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    """Trials that have ended on the first rung in a study of its own, in memory, with what they came to there."""
    study = optuna.create_study(direction="maximize", sampler=sampler, storage=optuna.storages.InMemoryStorage())
    study.add_trials(
        create_trial(
            state=TrialState.PRUNED if (value := _score(search, t, 0)) is None else TrialState.COMPLETE,
            value=t.value if value is None else value,
            params=t.params,
            distributions=t.distributions,
            intermediate_values=t.intermediate_values,
        )
        for t in trials
    )
    return study


def _earlier(search: Search, number: int, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [t for t in trials if search.round_of(t.number) < search.round_of(number)]


def _frozen(search: Search, spec: search_space.TrialSpec) -> FrozenTrial:
    return search.trials()[spec.number]


def _spec(search: Search, trial: FrozenTrial, rung: int) -> search_space.TrialSpec:
    parameters, steps = search_space.Tuned(values=trial.params), search.rungs()[rung].steps
    return search_space.TrialSpec(number=trial.number, trial_id=trial._trial_id, parameters=parameters, steps=steps)


class _JournalLock(JournalFileOpenLock):
    """Optuna's own locks outlive a killed holder by 30 seconds; the kernel's does not."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.file = locks.file_lock(path.with_name(path.name + ".lock"))

    def acquire(self) -> bool:
        self.file.acquire()
        return True

    def release(self) -> None:
        self.file.release()


def _storage(storage: str) -> BaseStorage:
    if "://" in storage:
        patience = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
        return RDBStorage(storage, engine_kwargs=patience)
    lock = _JournalLock(Path(storage))
    with lock.file:
        locks.mend_lines(Path(storage))
    return JournalStorage(JournalFileBackend(storage, lock))


@contextlib.contextmanager
def _plainly(storage: str) -> Iterator[None]:
    """One line for whatever a storage fails with. It leaves a database's URL out, which may hold a password."""
    try:
        yield
    except (ImportError, OSError, ValueError, optuna.exceptions.OptunaError, SQLAlchemyError) as error:
        storage_name = "database" if "://" in storage else f"file {storage}"
        raise errors.ConfigError(
            f"tuning: the study's {storage_name} cannot be opened ({type(error).__name__})"
        ) from None


_FEWEST = 4


class Pruned(Exception):  # noqa: N818  # an outcome of a trial, not an error
    """A trial falls behind and is given up."""


def value_at(curve: Mapping[int, float], position: int, *, carry: bool) -> float | None:
    """A curve's value at a position: its last one up to there.

    `carry` True lets the last value of a curve that ended earlier (an early stop) stand for what would have
    followed; False gives None behind its end (a pruned trial says nothing about later positions).
    """
    positions = [p for p in curve if p <= position]
    if not positions or (not carry and max(curve) < position):
        return None
    return curve[max(positions)]


def below_median(value: float, competitors: Sequence[float]) -> bool:
    """True if `value` is below the median of at least four other trials at the same position.

    The rule of Golovin et al., "Google Vizier" (KDD 2017), section 3.2.2, on running bests.
    """
    return len(competitors) >= _FEWEST and value < median(competitors)
