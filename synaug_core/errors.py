"""Every error synaug raises on purpose. `UserError` means the input is at fault; its text is one clear line."""

import enum
from collections.abc import Iterator

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "DeadlineError",
    "DiskFullError",
    "DivergenceError",
    "Reason",
    "SynaugError",
    "UserError",
    "WeightsError",
    "causes",
]


class Reason(enum.StrEnum):
    """What is wrong with something outside, for those who act upon it or advise on it."""

    HOME = enum.auto()
    """SYNAUG_HOME cannot be written."""
    NO_ACCESS = enum.auto()
    NO_ANSWER = enum.auto()
    NO_CREDENTIALS = enum.auto()
    NO_DRIVER = enum.auto()
    OLD_SCHEMA = enum.auto()
    """A database's tables are of an older version."""
    STORE_SILENT = enum.auto()
    """An S3 server does not answer."""


class SynaugError(Exception):
    """Base of all errors raised on purpose (exit code 1 on the command line).

    Attributes:
        reason: a `Reason`, or the code of an S3 server that refused; "" where the text is all there is to say.
    """

    def __init__(self, *args: object, reason: str = "") -> None:
        super().__init__(*args)
        self.reason = reason


class UserError(SynaugError):
    """The user's input is at fault (exit code 2, one line, no traceback)."""


class ConfigError(UserError):
    """A configuration key or value cannot be used."""


class DataError(UserError):
    """The images, their labels or their splits cannot be used."""


class WeightsError(UserError):
    """Pretrained weights were asked for and cannot be had."""


class ArtifactError(SynaugError):
    """A stored artifact is missing or its bytes are not those that were written."""


class DiskFullError(SynaugError):
    """A disk has no room left; the text names the folder and says what to do."""


class DivergenceError(SynaugError):
    """A training left the numbers: its loss is not finite."""


class DeadlineError(SynaugError):
    """A training passed the time it was given."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that is behind it, each once: causes and contexts, a group's errors, and errors that another
    one wraps (boto3, SQLAlchemy, requests and urllib3 keep them as attributes or arguments)."""
    waiting: list[BaseException] = [error]
    past: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in past:
            continue
        past.add(id(cause))
        yield cause
        wrapped = [getattr(cause, name, None) for name in ("__cause__", "__context__", "orig", "reason")]
        wrapped += [getattr(cause, "last_exception", None), *getattr(cause, "exceptions", ()), *cause.args]
        waiting += [inner for inner in wrapped if isinstance(inner, BaseException)]
