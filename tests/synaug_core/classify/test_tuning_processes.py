"""A search that several processes share, and that any of them may be killed in."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from synaug_core.classify import tuning
from synaug_core.classify.search_space import TrialSpec
from tests.searches import CONFIG, finish, make


class KilledError(Exception):
    pass


def _killing(monkeypatch, name: str, at: int, *, after: bool) -> Callable[[], None]:
    """The storage call of that name fails for good at its `at`-th use, before or after it has its effect."""
    from optuna.storages import JournalStorage

    real, uses = getattr(JournalStorage, name), [0]

    def dying(self, *args, **kwargs):
        uses[0] += 1
        if uses[0] >= at and not after:
            raise KilledError
        out = real(self, *args, **kwargs)
        if uses[0] >= at:
            raise KilledError
        return out

    monkeypatch.setattr(JournalStorage, name, dying)
    return lambda: monkeypatch.setattr(JournalStorage, name, real)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", ["create_new_trial", "set_trial_state_values", "set_trial_intermediate_value"])
def test_a_search_killed_anywhere_goes_on_to_the_same_trials(tmp_path, monkeypatch, whole, name, after):
    for at in (1, 2, 5, 8, 11):
        place = str(tmp_path / f"{at}.log")
        revive = _killing(monkeypatch, name, at, after=after)
        with pytest.raises(KilledError):
            finish(tuning.open_study(place, "s", seed=5, config=CONFIG))
        revive()
        assert finish(tuning.open_study(place, "s", seed=5, config=CONFIG)) == whole


def test_a_line_cut_by_a_kill_is_mended(tmp_path, whole):
    place = tmp_path / "s.log"
    search = tuning.open_study(str(place), "s", seed=5, config=CONFIG)
    for spec in tuning.ask(search):
        make(search, spec)
    with place.open("ab") as file:
        file.write(b'{"op_code": 4, "stu')
    assert finish(tuning.open_study(str(place), "s", seed=5, config=CONFIG)) == whole


def _ask_and_die(storage: str) -> None:
    search = tuning.open_study(storage, "s", seed=5, config=CONFIG)
    _, second = tuning.ask(search)
    tuning.report(search, second, 10, 0.1)
    search.lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_for_real_with_the_lock_held(storage, whole):
    victim = multiprocessing.get_context("fork").Process(target=_ask_and_die, args=(storage,))
    victim.start()
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    search = tuning.open_study(storage, "s", seed=5, config=CONFIG)
    assert [s.number for s in tuning.ask(search)] == [0, 1]
    assert finish(search) == whole


def _work(storage: str, specs: tuple[TrialSpec, ...]) -> None:
    search = tuning.open_study(storage, "s", seed=5, config=CONFIG)
    for spec in specs:
        make(search, spec)


def _ask_and_work(storage: str) -> None:
    finish(tuning.open_study(storage, "s", seed=5, config=CONFIG))


def test_two_processes_make_the_trials_of_a_round(storage, whole):
    context = multiprocessing.get_context("fork")
    search = tuning.open_study(storage, "s", seed=5, config=CONFIG)
    for _ in range(2):
        workers = [context.Process(target=_work, args=(storage, (spec,))) for spec in tuning.ask(search)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
    assert finish(search) == whole


def test_two_processes_may_ask_at_once(storage, whole):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_ask_and_work, args=(storage,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
        assert worker.exitcode == 0
    assert finish(tuning.open_study(storage, "s", seed=5, config=CONFIG)) == whole


def _open_together(storage: str, start: Any) -> None:
    start.wait(60)
    tuning.open_study(storage, "s", seed=5, config=CONFIG)


@pytest.mark.stack
def test_several_processes_may_open_an_empty_database_at_once(empty_database):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    workers = [context.Process(target=_open_together, args=(empty_database, start)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
    assert [worker.exitcode for worker in workers] == [0] * 4


def _ask_together(storage: str, start: Any, asked: Any) -> None:
    search = tuning.open_study(storage, "s", seed=5, config=CONFIG)
    start.wait(60)
    asked.put([spec.number for spec in tuning.ask(search)])


def test_processes_that_ask_at_once_get_the_same_trials(storage):
    context = multiprocessing.get_context("fork")
    start, asked = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_ask_together, args=(storage, start, asked)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert [asked.get(timeout=100) for _ in workers] == [[0, 1]] * 4
    for worker in workers:
        worker.join(100)
    assert len(tuning.history(tuning.open_study(storage, "s", seed=5, config=CONFIG))) == 2
