"""Which choices of a classifier a report lists: one that serves all draws once, and each fold's own."""

from __future__ import annotations

from flows.selection import Selected, list_selections, note_selections
from synaug_core.config import Config
from synaug_core.refs import SelectionRef, Standing
from synaug_core.report.selection import selection_section


def _selection(run_id: str, best: str = "frozen") -> SelectionRef:
    names = sorted(("frozen", "small_cnn"), key=lambda name: name != best)
    standings = (Standing(candidate=n, title=n, parts=3, images=30, balanced_accuracy=0.8) for n in names)
    return SelectionRef(candidate=best, standings=tuple(standings), run_id=run_id)


def test_one_choice_for_all_draws_is_shown_as_one() -> None:
    drawn = [Selected(Config(), _selection("a"))] * 3
    assert len(list_selections(drawn)) == 1
    assert "fold" not in " ".join(selection_section(list_selections(drawn)).sentences)
    assert len(note_selections(drawn)) == 1


def test_each_fold_has_its_own_choice() -> None:
    folds = [Selected(Config(), _selection("a")), Selected(Config(), _selection("b", best="small_cnn"))]
    text = " ".join(selection_section(list_selections(folds)).sentences)
    assert "chosen anew in each fold (frozen 1 times, small_cnn 1 times)" in text
    assert list_selections([Selected(Config())]) == ()
