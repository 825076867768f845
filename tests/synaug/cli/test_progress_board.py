from __future__ import annotations

import pytest

from synaug.cli.live import Board, duration, figures
from tasks.engine.progress_bus import Event


def test_time_left_follows_the_pace() -> None:
    board = Board()
    board.apply(Event("generator", "A", 100, 400), now=10.0)  # resumed: the first 100 cost nothing now
    step = board.apply(Event("generator", "A", 200, 400), now=30.0)
    assert step is not None
    assert step.remaining_seconds(30.0) == pytest.approx(40.0)
    assert board.apply(Event("generator", "B", 0, 400), now=30.0).remaining_seconds(35.0) is None  # type: ignore[union-attr]


def test_a_stage_knows_its_time_left_once_it_knows_its_steps() -> None:
    board = Board()
    board.apply(Event("training", "", 0, 4), now=0.0)
    stage = board.stages["training"]
    assert stage.remaining_seconds(5.0) is None
    board.apply(Event("training", "a", state="cached"), now=0.0)
    assert stage.remaining_seconds(5.0) is None  # reused steps set no pace
    board.apply(Event("training", "b", 0, 10), now=0.0)
    board.apply(Event("training", "b", 10, 10, state="done"), now=10.0)
    board.apply(Event("training", "c", 5, 10), now=15.0)
    assert stage.remaining_seconds(15.0) == pytest.approx(15.0 * 1.5 / 1.5)
    assert (stage.ended_count, stage.expected_count, stage.state) == (2, 4, "running")


def test_steps_of_unlike_length_are_weighed_where_the_stage_says_how_long_all_are() -> None:
    board = Board()
    board.apply(Event("tuning", "", 0, 5, units=4 * 10 + 40), now=0.0)
    stage = board.stages["tuning"]
    board.apply(Event("tuning", "0", 10, 10, state="cached"), now=0.0)
    for number in (1, 2, 3):
        board.apply(Event("tuning", str(number), 0, 10), now=number - 1.0)
        board.apply(Event("tuning", str(number), 10, 10, state="done"), now=float(number))
    assert stage.remaining_seconds(3.0) == pytest.approx(4.0), "the last is as long as all others"
    board.apply(Event("tuning", "last", 20, 40), now=5.0)
    assert stage.remaining_seconds(5.0) == pytest.approx(2.0)


def test_time_that_a_stage_waited_for_others_sets_no_pace() -> None:
    board = Board()
    board.apply(Event("training", "", 0, 3), now=0.0)
    board.apply(Event("training", "z", state="cached"), now=1.0)
    board.apply(Event("training", "a", 0, 10), now=100.0)
    board.apply(Event("training", "a", 10, 10, state="done"), now=110.0)
    assert board.stages["training"].remaining_seconds(110.0) == pytest.approx(10.0)
    board.apply(Event("training", "b", state="done"), now=130.0)  # nobody knows when it began
    assert board.stages["training"].seconds(140.0) == pytest.approx(130.0)


def test_a_retraining_of_a_sweep_begins_with_none_of_the_steps_before() -> None:
    board = Board()
    board.apply(Event("sweep", "", 0, 2), now=0.0)
    board.apply(Event("sweep", "first", 0, 1, opens=True), now=0.0)
    board.apply(Event("training", "", 0, 1), now=1.0)
    board.apply(Event("training", "control 0", state="cached"), now=1.0)
    board.apply(Event("sweep", "first", 1, 1, state="done"), now=2.0)
    board.apply(Event("sweep", "second", 0, 1, opens=True), now=3.0)
    assert list(board.stages) == ["sweep"]
    step = board.apply(Event("training", "control 0", 5, 10), now=4.0)
    assert step is not None
    assert (step.state, step.end_time, step.start_time) == ("running", None, 4.0)
    assert (board.stages["sweep"].ended_count, board.stages["sweep"].expected_count, board.stages["sweep"].state) == (
        1,
        2,
        "running",
    )


def test_a_later_stage_closes_the_earlier_ones() -> None:
    board = Board()
    board.apply(Event("dataset", ""), now=0.0)
    assert board.stages["dataset"].state == "running"
    board.apply(Event("dataset", "read", 9, 9), now=1.0)
    board.apply(Event("generator", ""), now=3.0)
    assert board.stages["dataset"].state == "done"
    assert board.stages["dataset"].seconds(100.0) == pytest.approx(1.0)
    assert board.stages["generator"].state == "running"
    board.close()
    assert board.stages["generator"].state == "done"


def test_an_overlapping_stage_goes_on() -> None:
    board = Board()
    board.apply(Event("generator", "A", 1, 10), now=0.0)
    board.apply(Event("synthesis", "A", 1, 10), now=1.0)
    assert board.stages["generator"].state == "running"


def test_a_stage_whose_expected_steps_have_ended_is_done_before_the_next_begins() -> None:
    board = Board()
    board.apply(Event("generator", "A", 1, 10), now=0.0)
    board.apply(Event("judge", "", 0, 2), now=0.0)
    for name, now in (("a", 4.0), ("b", 7.0)):
        assert board.stages["judge"].state == "running"
        board.apply(Event("judge", name, state="done"), now=now)
    board.apply(Event("judge", "", 2, 2), now=30.0)  # the flow comes to wait for them
    assert board.stages["judge"].state == "done"
    assert board.stages["judge"].seconds(40.0) == 7.0


def test_steps_of_one_name_are_told_apart_by_their_ids() -> None:
    board = Board()
    for fold, now in (("1", 0.0), ("2", 5.0)):
        board.apply(Event("generator", "A", 1, 2, id=fold), now=now)
        board.apply(Event("generator", "A", state="done", id=fold), now=now + 3)
    assert [step.seconds(99.0) for step in board.stages["generator"].steps.values()] == [3.0, 3.0]
    assert board.stages["generator"].ended_count == 2


def test_a_failed_step_marks_its_stage() -> None:
    board = Board()
    board.apply(Event("training", "a", 1, 1, state="failed"), now=0.0)
    board.close()
    assert board.stages["training"].state == "failed"


def test_the_last_event_may_count_in_another_unit() -> None:
    board = Board()
    board.apply(Event("training", "a", 600, 600, {"loss": 0.5}), now=0.0)
    step = board.apply(Event("training", "a", 1, 1, state="done"), now=2.0)
    assert step is not None
    assert (step.done, step.total, step.values, step.seconds(9.0)) == (600, 600, {"loss": 0.5}, 2.0)


def test_a_search_in_rounds_promises_no_number() -> None:
    board = Board()
    for trial in range(4):
        board.apply(Event("tuning", f"trial {trial}", 1, 1, state="done"), now=float(trial))
        board.apply(Event("tuning", "", trial % 2 + 1, 2), now=float(trial))
    assert board.stages["tuning"].expected_count == 0


def test_a_step_begun_again_counts_anew() -> None:
    board = Board()
    board.apply(Event("training", "a", 50, 100, state="failed"), now=0.0)
    step = board.apply(Event("training", "a", 10, 100), now=5.0)
    assert step is not None
    assert (step.state, step.start_time, step.done) == ("running", 5.0, 10)


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3723, "1:02:03")])
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_figures() -> None:
    assert figures({"loss": 0.41234, "balanced_accuracy": 0.5, "x": 123456.0, "y": 1.0}) == (
        "loss 0.412, balanced accuracy 0.5, x 1.23e+05"
    )


def test_time_left_in_all_begins_with_the_estimate_and_follows_the_pace() -> None:
    board = Board({"dataset": 10.0, "training": 80.0, "report": 10.0})
    assert board.remaining_seconds(0.0) == pytest.approx(100.0)
    board.apply(Event("dataset", "read", 1, 1, state="done"), now=20.0)
    board.apply(Event("training", "", 0, 4), now=20.0)
    assert board.remaining_seconds(20.0) == pytest.approx(90.0 * 30 / 20)  # it took twice as long as estimated
    for number in range(4):
        board.apply(Event("training", str(number), 1, 1, state="done"), now=20.0 + 40 * (number + 1))
    assert board.remaining_seconds(180.0) == pytest.approx(10.0 * 190 / 100)
    assert Board().remaining_seconds(5.0) is None


def test_what_was_reused_or_left_out_sets_no_pace() -> None:
    board = Board({"dataset": 10.0, "tuning": 40.0, "training": 50.0})
    board.apply(Event("dataset", "read", state="cached"), now=1.0)
    board.apply(Event("training", "", 0, 2), now=1.0)
    assert board.remaining_seconds(1.0) == pytest.approx(50.0 * 11 / 10)  # no tuning: training has begun
    board.apply(Event("training", "a", state="cached"), now=1.0)
    board.apply(Event("training", "b", 5, 10), now=1.0)
    assert board.remaining_seconds(13.5) == pytest.approx(12.5 * 23.5 / 22.5)
