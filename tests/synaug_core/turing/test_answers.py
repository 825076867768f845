from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from synaug_core.errors import ArtifactError
from synaug_core.turing.answers import Answer, AnswerLog, Header, newest, read

HEADER = Header(images=10, seed=0, digest="d")


def answer(item: int, rater: str = "Ann", **changes: object) -> Answer:
    facts = {"image": f"image {item}", "class_name": "a\nb", "synthetic": True, "said_synthetic": False}
    return Answer.model_validate({"rater": rater, "item": item, "seconds": 1.5, "at": 100.0 + item} | facts | changes)


def test_answers_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.jsonl"
    given = [answer(0), answer(1, "Bö \u2028"), answer(2)]
    with AnswerLog(path, HEADER) as log:
        for one in given:
            log.add(one)
        assert read(path).answers == given  # on the disk while it is open
    with AnswerLog(path, HEADER) as log:
        assert log.answers() == given
        assert log.answers_of("Ann") == [given[0], given[2]]
        assert log.raters() == ["Ann", "Bö \u2028"]
        assert log.changed_at == 102.0
    assert read(path).header == HEADER


def test_an_undo_is_a_line_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with AnswerLog(path, HEADER) as log:
        for one in (answer(0), answer(1), answer(2, "Bo")):
            log.add(one)
        before = path.read_bytes()
        assert log.undo("Ann") == answer(1)
        assert log.undo("nobody") is None
        assert path.read_bytes().startswith(before)
        assert log.changed_at > 1e9
    assert read(path).answers == [answer(0), answer(2, "Bo")]


@pytest.mark.parametrize("torn", [b"{", b'{"rater": "Ann", "item": 1', b"\x00\x00", "é".encode()[:1]])
def test_a_torn_last_line_is_dropped(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "a.jsonl"
    with AnswerLog(path, HEADER) as log:
        log.add(answer(0))
    with path.open("ab") as file:
        file.write(torn)
    assert read(path).answers == [answer(0)]
    with AnswerLog(path, HEADER) as log:
        log.add(answer(1))
    assert read(path).answers == [answer(0), answer(1)]


def test_a_torn_header_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"ima')
    assert newest(tmp_path) is None
    with AnswerLog(path, HEADER) as log:
        log.add(answer(0))
    assert read(path).answers == [answer(0)]
    assert newest(tmp_path) == path


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with AnswerLog(path, HEADER) as log:
        log.add(answer(0))
    whole = path.read_bytes()
    path.write_bytes(whole + b"no json\n" + whole.splitlines()[1] + b"\n")
    with pytest.raises(ArtifactError, match="damaged at line 3"):
        read(path)
    path.write_bytes(b"[]\n")
    with pytest.raises(ArtifactError, match="damaged at line 1"):
        AnswerLog(path, HEADER)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read(tmp_path / "none.jsonl")


def test_answers_to_one_test_are_not_taken_for_another(tmp_path: Path) -> None:
    AnswerLog(tmp_path / "a.jsonl", HEADER).close()
    with pytest.raises(ArtifactError, match="another test"):
        AnswerLog(tmp_path / "a.jsonl", HEADER.model_copy(update={"digest": "e"}))


def test_what_could_not_be_written_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    with AnswerLog(path, HEADER) as log:
        log.add(answer(0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(OSError, match="No space"):
                log.add(answer(1))
        assert log.answers() == [answer(0)]
        log.add(answer(2))
    assert read(path).answers == [answer(0), answer(2)]


def test_many_threads(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "a.jsonl", HEADER) as log:

        def rate(rater: str) -> None:
            for item in range(20):
                log.add(answer(item, rater))

        threads = [threading.Thread(target=rate, args=(f"rater {i}",)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    stored = read(tmp_path / "a.jsonl").answers
    assert len(stored) == 120
    assert [a.item for a in stored if a.rater == "rater 3"] == list(range(20))


def test_nothing_is_lost_in_a_kill(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from synaug_core.turing.answers import *\n"
        "log = AnswerLog(pathlib.Path(sys.argv[1]), Header(images=10, seed=0, digest='d'))\n"
        "for i in range(10**6):\n"
        "    log.add(Answer(rater='Ann', item=i, image='x', class_name='c', synthetic=True, said_synthetic=True,\n"
        "                   seconds=1, at=1))\n"
        "    print(i, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(30)]
        process.send_signal(signal.SIGKILL)
        said += [int(line) for line in process.stdout if line.endswith("\n")]
    assert [a.item for a in read(tmp_path / "a.jsonl").answers][: len(said)] == said
