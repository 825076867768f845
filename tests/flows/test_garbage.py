"""Loaded libraries are kept from the garbage collector while a retraining runs, and no longer."""

from __future__ import annotations

import contextlib
import gc

from flows.garbage import libraries_aside, set_libraries_aside


def test_what_there_is_is_set_aside_within_the_block_alone() -> None:
    before = gc.get_freeze_count()  # what Python itself keeps for good
    later: list[list[int]] = []
    with contextlib.suppress(KeyboardInterrupt), libraries_aside():
        at_first = gc.get_freeze_count()
        assert at_first > before + 10_000
        later += [[] for _ in range(1000)]
        set_libraries_aside()
        with libraries_aside():
            pass
        assert gc.get_freeze_count() >= at_first + 1000
        raise KeyboardInterrupt
    assert gc.get_freeze_count() <= before
