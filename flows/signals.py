"""`kill` does what Ctrl-C does, where the command says what that is."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

__all__ = ["sigterm_as_ctrl_c"]


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside a flow, SIGTERM is handled as SIGINT where the caller has a handler of its own for that.

    Prefect's handler raises in the main thread and then waits for the running steps, which can take hours. Without
    a handler for SIGINT, as under a server's worker, Prefect's stays: the server cancels runs by it.
    """
    own = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or own in (signal.default_int_handler, None):
        yield
        return
    before = signal.signal(signal.SIGTERM, own)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
