"""What is said of generators and images of several folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flows.learning import Learning


@dataclass(frozen=True)
class Noted:
    """Images of one fold, of which only the notes count here."""

    told: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        return self.told


def notes(*folds: tuple[str, ...]) -> tuple[str, ...]:
    images: Any = tuple(Noted(told) for told in folds)
    return Learning(images, (), (), ()).notes()


def test_a_note_names_its_folds_unless_it_is_about_all() -> None:
    assert notes(("a", "b")) == ("a", "b")
    assert notes(("a",), ("a",)) == ("a",)
    told = notes(("a", "all"), ("all",), ("b", "a", "all"))
    assert told == ("folds 1, 3 of 3: a", "all", "fold 3 of 3: b")
