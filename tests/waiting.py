"""Waiting for what other processes and threads do."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], seconds: float, about: Callable[[], str] = str, *, pause: float = 1.0) -> Any:
    """Wait for something and give it; `about` says more where it does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        threading.Event().wait(pause)  # in some tests `time.sleep` does nothing
    raise AssertionError(f"not within {seconds:.0f} s: {about()}")


def answers(address: str) -> bool:
    """Whether a server answers there, asked past all proxies."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=2):
            return True
    except OSError:  # nobody listens yet; a refusal is one of these too
        return False
