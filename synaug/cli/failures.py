"""Errors as people should see them: one line, and an exit code that scripts can tell apart."""

import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from synaug_core.errors import DiskFullError, SynaugError, UserError, causes
from synaug_core.services import secrets, writable

__all__ = ["FAILED", "USER_ERROR", "WORSE", "Session", "find_user_error", "print_error", "printable", "report"]

FAILED = 1
USER_ERROR = 2
WORSE = 3
"""Where it is asked for: the new model is worse than the champion."""
# Control characters, line breaks of every kind, and what turns the direction of writing.
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass
class Session:
    """Shared by the command and the last resort that reports its errors."""

    debug: bool = False
    log: Path | None = None
    """The file that takes log lines and tracebacks, once a command has opened one."""


def printable(text: str) -> str:
    """One line with nothing in it that steers a terminal or cannot be written: such characters become escapes."""
    escaped = _STEERING.sub(lambda match: match.group().encode("unicode_escape").decode(), text)
    return escaped.encode("utf-8", "backslashreplace").decode()


def print_error(line: str) -> None:
    """One line on stderr."""
    print(f"synaug: {printable(line)}", file=sys.stderr, flush=True)  # noqa: T201 - a command line's output


def find_user_error(error: BaseException) -> UserError | None:
    """The user's error behind an error: itself, one of its causes, or one of a group."""
    return next((e for e in causes(error) if isinstance(e, UserError)), None)


def _lost_prefect(error: BaseException) -> bool:
    """Whether a connection of Prefect's client is behind an error; nothing else here lets an error of httpx out."""
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for e in causes(error) for kind in type(e).__mro__}
    return "httpx.TransportError" in kinds


def report(error: Exception, session: Session) -> int:
    """Say what went wrong, without secrets, and give the exit code; the traceback goes to the log, or to stderr with
    --debug."""
    if session.debug:
        sys.stderr.write(_traceback(error))
    user_error = find_user_error(error)
    if user_error is not None:
        for line in str(user_error).splitlines():
            print_error(line)
        return USER_ERROR
    hint = _keep(error, session)
    full = next((e for e in causes(error) if isinstance(e, DiskFullError)), None)
    if full is not None:
        print_error(f"{full} ({hint})")
        return FAILED
    if writable.is_disk_full(error):
        print_error(f"no space left on the disk; make room, then run the same command again: it continues ({hint})")
        return FAILED
    if _lost_prefect(error):
        print_error(f"the Prefect server does not answer any more; run the same command again: it continues ({hint})")
        return FAILED
    text = secrets.redacted(" ".join(str(error).split()))
    # Our own errors are written to be read; of others the kind matters as well.
    print_error(
        f"{text if isinstance(error, SynaugError) and text else f'{type(error).__name__}: {text}'[:500]} ({hint})"
    )
    return FAILED


def _traceback(error: Exception) -> str:
    return secrets.redacted("".join(traceback.format_exception(error)))


def _keep(error: Exception, session: Session) -> str:
    if session.log is None:
        return "more with synaug --debug"
    try:
        with session.log.open("a", encoding="utf-8") as file:
            file.write(_traceback(error))
    except OSError:
        return "more with synaug --debug"
    return f"log: {session.log}"
