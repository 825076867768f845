"""Who writes a run: enough of a process's identity to know later that it is dead."""

import contextlib
import os
import socket
from pathlib import Path

import psutil

__all__ = ["is_alive", "is_dead", "own_identity"]


def own_identity() -> str:
    """Identity of the running process: host, process id space, process id, start."""
    return f"{_space()}/{os.getpid()}/{_start(os.getpid())}"


def is_dead(identity: str) -> bool:
    """True only where it is certain: the process was on this host, and is no more."""
    return _is_running(identity) is False


def is_alive(identity: str) -> bool:
    """True only where it is certain: the process is on this host, and runs."""
    return _is_running(identity) is True


def _is_running(identity: str) -> bool | None:
    """None: it cannot be seen from here."""
    space, _, start = identity.rpartition("/")
    space, _, pid = space.rpartition("/")
    if space != _space() or not pid.isdecimal():
        return None
    try:
        return _start(int(pid)) == start
    except psutil.AccessDenied:
        return None


def _space() -> str:
    """Host and process id namespace: two containers of one name must not judge each other's processes."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def _start(pid: int) -> str:
    """Hundredths of a second from boot to the process's start, whatever was done to the clock since; `-` where there is
    no such process."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return str(round(100 * (process.create_time() - psutil.boot_time())))
    except psutil.NoSuchProcess:
        pass
    return "-"
