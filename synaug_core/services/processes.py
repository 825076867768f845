"""Who writes a run: enough of a process's identity to know later that it is dead."""

import contextlib
import os
import socket
from pathlib import Path

__all__ = ["is_alive", "is_dead", "own_identity"]


def own_identity() -> str:
    """Identity of the running process: host, process id space, process id, start."""
    return f"{_space()}/{os.getpid()}/{_start(os.getpid())}"


def is_dead(identity: str) -> bool:
    """True only where it is certain: the process was on this host, and is no more."""
    return _runs(identity) is False


def is_alive(identity: str) -> bool:
    """True only where it is certain: the process is on this host, and runs."""
    return _runs(identity) is True


def _runs(identity: str) -> bool | None:
    """None: it cannot be seen from here."""
    space, _, rest = identity.rpartition("/")
    space, _, pid = space.rpartition("/")
    if space != _space() or not pid.isdecimal():
        return None
    if Path("/proc/self/stat").exists():
        return _start(int(pid)) == rest
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there, and somebody else's
        return True
    return True


def _space() -> str:
    """Host and process id namespace: two containers of one name must not judge each other's processes."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def _start(pid: int) -> str:
    """Clock ticks from boot to the process's start, or `-` where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "-"
    fields = stat.rpartition(")")[2].split()
    return "-" if fields[0] == "Z" else fields[19]
