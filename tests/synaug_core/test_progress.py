from __future__ import annotations

from synaug_core.progress import part_of


def test_parts_of_a_step_are_told_as_the_whole() -> None:
    told: list[tuple[int, int, dict[str, float]]] = []

    def whole(done: int, total: int, **values: float) -> None:
        told.append((done, total, values))

    part_of(whole, before=0, total_steps=40)(20, 20)
    part_of(whole, before=20, total_steps=40)(5, 20, loss=0.5)
    assert told == [(20, 40, {}), (25, 40, {"loss": 0.5})]
