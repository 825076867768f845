"""Ctrl-C while trainings run in threads that nothing can interrupt."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from rich.console import Console

from synaug.cli import failures

__all__ = ["stop_on_ctrl_c"]

_PATIENCE = 5.0


@contextlib.contextmanager
def stop_on_ctrl_c(line: str, console: Console) -> Iterator[None]:
    """Say `line` at the first Ctrl-C and end the block; end the process if that takes long, or at the second.

    Nothing is lost by ending at once: every finished step is kept, and long trainings keep checkpoints.
    """
    is_asked = False

    def leave() -> None:
        console.show_cursor(True)
        console.print()
        os._exit(failures.FAILED)

    def end(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_asked
        if is_asked:
            leave()
        is_asked = True
        failures.print_error(line)
        timer = threading.Timer(_PATIENCE, leave)
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        if not is_asked:
            signal.signal(signal.SIGINT, before)
