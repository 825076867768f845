"""Loaded libraries are kept from the garbage collector while a retraining runs, and no longer."""

from __future__ import annotations

import contextlib
import gc

from flows.garbage import libraries_aside, set_libraries_aside


def looked_at(thing: list[int]) -> bool:
    """Whether the collector looks at it; what is set aside it does not even list."""
    return any(other is thing for other in gc.get_objects())


def test_what_there_is_is_set_aside_within_the_block_alone() -> None:
    before: list[int] = []
    assert looked_at(before)
    with contextlib.suppress(KeyboardInterrupt), libraries_aside():
        later: list[int] = []
        assert not looked_at(before)
        assert looked_at(later)
        set_libraries_aside()
        with libraries_aside():
            pass
        assert not looked_at(later), "the inner block's end undoes nothing"
        raise KeyboardInterrupt
    assert looked_at(before)
    assert looked_at(later)
