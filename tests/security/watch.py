"""What the interpreter is asked to do while a hostile input is fed to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = {
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.connect", "socket.bind",
    "socket.getaddrinfo", "ctypes.dlopen",
}  # fmt: skip
_MOVES = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.rmtree",
}


class Watch:
    """What the interpreter is asked to do that no input may bring about."""

    def __init__(self, allowed: Path) -> None:
        self.on, self._allowed = False, str(allowed.resolve())
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "ctypes.dlopen" and self._allowed not in str(arguments[0]):
            return  # a library of ours
        if event == "subprocess.Popen" and arguments[0] == "/sbin/ldconfig":
            return  # how Python finds a system library, while something is imported
        if event in _FORBIDDEN:
            self.seen.append(f"{event} {arguments[:1]!r}"[:200])
        elif event == "pickle.find_class" and arguments[0] not in {"collections", "torch._utils", "torch"}:
            self.seen.append(f"{event} {arguments!r}"[:200])
        elif event == "open":
            path, mode, flags = arguments
            writes = (isinstance(flags, int) and flags & _WRITING) or (
                isinstance(mode, str) and set(mode) & set("wax+")
            )
            if writes and not isinstance(path, int):
                self._inside(event, path)
        elif event in _MOVES:
            self._inside(event, arguments[0])

    def _inside(self, event: str, path: Any) -> None:
        text = os.path.realpath(os.fsdecode(path)) if isinstance(path, (str, bytes, os.PathLike)) else repr(path)
        if not text.startswith((self._allowed, "/dev/null")):
            self.seen.append(f"{event} {text}"[:200])
