"""Answers on disk: a file of JSON lines that only grows, each line written through before the next image is shown."""

import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synaug_core import errors, frozen

__all__ = ["Answer", "AnswerLog", "Header", "Stored", "newest", "read"]

_LONGEST = 24 * 3600.0


class Header(frozen.Frozen):
    """The first line of a file: which test it is."""

    images: int
    seed: int
    digest: str
    """Of the design."""


class _Line(frozen.Frozen):
    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)


class Answer(_Line):
    """What one rater said of one image. It holds the truth too, so that results need nothing else."""

    rater: str
    item: int = Field(ge=0)
    """Position in the design."""
    image: str
    """Its id."""
    class_name: str
    synthetic: bool
    said_synthetic: bool
    seconds: float = Field(ge=0, le=_LONGEST)
    """From when the image was there to the answer."""
    answered_at: float = Field(alias="at")
    """When, in seconds since 1970."""

    @property
    def is_right(self) -> bool:
        """Whether the rater saw what it is."""
        return self.synthetic == self.said_synthetic


class _Undo(_Line):
    undo: str
    """The rater whose last answer does not count."""
    undone_at: float = Field(alias="at")


class Stored(BaseModel):
    """A file's content.

    Attributes:
        header: which test.
        answers: those that were not taken back, in the order given.
        changed_at: time of the last line in seconds since 1970; 0 where there is none.
    """

    header: Header
    answers: list[Answer]
    changed_at: float


def read(path: Path) -> Stored:
    """Read a file; what a kill left of a last line is dropped.

    Raises:
        ArtifactError: there is no such file, or it is not one of these, or a line in its middle is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise errors.ArtifactError(
            f"the answers {path} cannot be read ({(error.strerror or 'unknown reason').lower()})"
        ) from error
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    number = 1
    try:
        header = Header.model_validate_json(lines[0])
        answers: list[Answer] = []
        modified_at = 0.0
        for number, line in enumerate(lines[1:], start=2):  # noqa: B007 - the error names it
            entry = json.loads(line)
            if isinstance(entry, dict) and "undo" in entry:
                undo = _Undo.model_validate(entry)
                modified_at = undo.undone_at
                _take_back(answers, undo.undo)
            else:
                answers.append(Answer.model_validate(entry))
                modified_at = answers[-1].answered_at
    except (IndexError, ValueError, ValidationError) as error:
        raise errors.ArtifactError(f"the answers {path} are damaged at line {number}") from error
    return Stored(header=header, answers=answers, changed_at=modified_at)


def newest(folder: Path) -> Path | None:
    """The file in a folder that was written last and can be read, or None."""
    for path in sorted(folder.glob("*.jsonl"), key=lambda p: (p.stat().st_mtime_ns, p.name), reverse=True):
        with path.open("rb") as file:
            if file.readline().endswith(b"\n"):
                return path
    return None


class AnswerLog:
    """One open file of answers; threads may write at once. One process at a time may hold it open.

    Raises:
        ArtifactError: the file is there and damaged, or belongs to another test.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            content = path.read_bytes()
            self._end = content.rfind(b"\n") + 1
            os.ftruncate(self._file, self._end)
            if not self._end:
                self._write(header)
                _sync_folder(path.parent)
            stored_answers = read(path)
            if stored_answers.header != header:
                raise errors.ArtifactError(f"the answers {path} belong to another test")
        except BaseException:
            self.close()
            raise
        self._answers, self._changed = stored_answers.answers, stored_answers.changed_at

    def add(self, answer: Answer) -> None:
        """Store an answer; it is on the disk when this returns.

        Raises:
            OSError: it could not be written, and does not count.
        """
        with self._lock:
            self._write(answer)
            self._answers.append(answer)
            self._changed = answer.answered_at

    def undo(self, rater: str) -> Answer | None:
        """Take a rater's last answer back; that answer, or None where there is none.

        Raises:
            OSError: it could not be written; the answer still counts.
        """
        with self._lock:
            if not any(a.rater == rater for a in self._answers):
                return None
            line = _Undo(undo=rater, undone_at=time.time())
            self._write(line)
            self._changed = line.undone_at
            return _take_back(self._answers, rater)

    def answers(self) -> list[Answer]:
        """Those that count, in the order given."""
        with self._lock:
            return list(self._answers)

    def answers_of(self, rater: str) -> list[Answer]:
        """One rater's, in the order given."""
        return [a for a in self.answers() if a.rater == rater]

    def raters(self) -> list[str]:
        """Who has answered, in order of their first answer."""
        return _raters(self.answers())

    @property
    def changed_at(self) -> float:
        """Time of the last line in seconds since 1970; 0 where there is none."""
        return self._changed

    def close(self) -> None:
        """Close the file; nothing can be written any more."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: BaseModel) -> None:
        data = line.model_dump_json().encode() + b"\n"
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._end)  # half a line would spoil the next one
            raise
        self._end += len(data)


def _raters(answers: Iterable[Answer]) -> list[str]:
    return list(dict.fromkeys(a.rater for a in answers))


def _take_back(answers: list[Answer], rater: str) -> Answer | None:
    for i in range(len(answers) - 1, -1, -1):
        if answers[i].rater == rater:
            return answers.pop(i)
    return None


def _sync_folder(folder: Path) -> None:
    """A new file's name is safe only when its folder is written too; Windows has no such call."""
    if os.name == "nt":
        return
    handle: Any = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
