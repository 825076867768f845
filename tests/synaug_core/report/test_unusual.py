from __future__ import annotations

import pytest
import torch

from synaug_core.report import unusual


def drawn(monkeypatch: pytest.MonkeyPatch, *, relative: bool) -> tuple[str, list[tuple[str, str, int]]]:
    """The sheet's heading, and its rows' names, notes and numbers of images, as given to what draws them."""
    given = []
    real = unusual.sheet
    monkeypatch.setattr(unusual, "sheet", lambda rows, *, heading: given.append((rows, heading)) or real(rows))
    images = torch.zeros(13, 1, 16, 16, dtype=torch.uint8)
    far = [float(13 - i) for i in range(13)]
    made = unusual.unusual_sheet(images, far, ["a", "b", "a", "c", "d", "e"] + ["a"] * 7, relative=relative)
    assert min(made.size) > 16
    [(rows, heading)] = given
    return heading, [(row.name, row.note, len(row.images)) for row in rows]


def test_rows_say_how_far_their_images_are_and_how_they_were_classed(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, rows = drawn(monkeypatch, relative=True)
    assert heading.endswith("distance to known ones, against what is usual between known ones")
    assert rows == [("13.0 to 4.0 times", "classed a, b, c and 2 more", 10), ("3.0 to 1.0 times", "classed a", 3)]


def test_without_a_usual_distance_nothing_is_called_a_multiple(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, rows = drawn(monkeypatch, relative=False)
    assert heading.endswith("distance to known ones")
    assert [name for name, _, _ in rows] == ["13.0 to 4.0", "3.0 to 1.0"]
