"""What one call of the command knows of itself: options that stand before the command, and where its log is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Session"]


@dataclass
class Session:
    """Shared by the command and the last resort that reports its errors."""

    debug: bool = False
    log: Path | None = None
    """The file that takes log lines and tracebacks, once a command has opened one."""
