"""What is said of generators and images of several folds."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from flows.images import Images
from flows.learning import Division, Learning, _trainings, _with_steps
from synaug_core.classify.search_space import Tuned
from synaug_core.config import ComputeConfig, Config
from synaug_core.refs import ImageSetRef, PickRef, RunRef, SyntheticRef
from tasks.engine.context import Context


@dataclass(frozen=True)
class Noted:
    """Images of one fold, of which only the notes count here."""

    told: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        return self.told


def notes(*folds: tuple[str, ...]) -> tuple[str, ...]:
    images: Any = tuple(Noted(told) for told in folds)
    return Learning(images, (), (), (), ((),) * len(images), "fold").notes()


def test_what_arms_became_is_told_of_each_fold() -> None:
    picks = [PickRef(arm="picked", candidate=c, scores={c: 0.9}, candidates=6, run_id="r") for c in ("mixup", "strong")]
    images: Any = (Noted(("a",)),) * 3
    told = Learning(images, (), (), (), ((picks[0],), (picks[1],), (picks[0],)), "fold").notes()
    assert told == (
        "a",
        "folds 1, 3 of 3: picked: mixup, chosen among 6 on the validation images",
        "fold 2 of 3: picked: strong, chosen among 6 on the validation images",
    )


def test_without_validation_images_the_first_candidate_is_taken() -> None:
    note = PickRef(arm="picked", candidate="mixup", scores={}, candidates=6, run_id="r").note
    assert note == "picked: mixup, the first of 6, as no validation image chose"


def test_a_note_names_its_folds_unless_it_is_about_all() -> None:
    assert notes(("a", "b")) == ("a", "b")
    assert notes(("a",), ("a",)) == ("a",)
    told = notes(("a", "all"), ("all",), ("b", "a", "all"))
    assert told == ("folds 1, 3 of 3: a", "all", "fold 3 of 3: b")


def trained(arm: str, *still_learning: bool) -> list[Any]:
    return [SimpleNamespace(arm=arm, still_learning=learning) for learning in still_learning]


def test_arms_that_were_still_learning_in_most_trainings_are_noted() -> None:
    repetitions: Any = (*trained("a", True, True, False), *trained("b", True, False), *trained("c", False))
    assert Learning((), (), (), repetitions, ()).notes() == (
        "a was still learning when its steps ended; with more classifier.steps it may do better",
    )


def test_the_steps_of_a_division_are_one_number_from_its_images() -> None:
    division: Any = SimpleNamespace(dataset=SimpleNamespace(train=SimpleNamespace(counts={"a": 100, "b": 20})))
    assert _with_steps(Config(), division).classifier.steps == 350
    given = Config.model_validate({"classifier": {"steps": 7}})
    assert _with_steps(given, division) == given


def image_set(letter: str) -> dict[str, Any]:
    return {"uri": f"file:{letter}", "sha256": letter * 64, "run_id": "run", "counts": {"rare": ord(letter)}}


@pytest.mark.parametrize(
    ("further", "letters"), [((), "aaa"), ((ImageSetRef(**image_set("b")), ImageSetRef(**image_set("c"))), "abc")]
)
def test_each_repetition_is_given_the_images_drawn_for_it(further: tuple[ImageSetRef, ...], letters: str) -> None:
    """And nothing but those, so that no training's key depends on how many others there are."""
    config, run = Config(arms=("control", "synthetic")), RunRef(run_id="", experiment="", tracking_uri="")
    drawn = SyntheticRef(**image_set("a"), planned=120, seconds=1.0, further=further)
    images = Images(
        synthetic={"control": (), "synthetic": (drawn.for_repetition(0),)},
        online={"control": (), "synthetic": ()},
        drawn={"control": (), "synthetic": (drawn,)},
    )
    context = Context.model_construct(seed=0, compute=ComputeConfig(), run=run)
    tuned, runs = (dict.fromkeys(("control", "synthetic"), value) for value in (Tuned(), run))
    jobs = _trainings(config, Division(context, (4, 5, 6)), images, tuned, runs)
    synthetic = {name: arguments[3] for name, arguments in jobs}
    assert [synthetic[f"control {n}"] for n in (4, 5, 6)] == [(), (), ()]
    for number, letter in zip((4, 5, 6), letters, strict=True):
        [reference] = synthetic[f"synthetic {number}"]
        assert (reference.sha256, reference.counts) == (letter * 64, {"rare": ord(letter)})
        assert (reference.planned, reference.further) == (120, ())
