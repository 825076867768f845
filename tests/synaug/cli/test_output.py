"""Where a command's file may lie, and what becomes of what stands there."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from synaug.cli import output
from synaug_core.errors import UserError


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    for text in ("one", "é" * 5):
        output.check_place(file)
        output.write_whole(text, file)
        assert file.read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_and_the_file_behind_it_is_replaced(tmp_path: Path, is_there: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "out.json", tmp_path / "link.json"
    if is_there:
        target.write_text("before")
    link.symlink_to(Path("elsewhere") / "out.json")
    output.check_place(link)
    output.write_whole("after", link)
    assert link.is_symlink()
    assert target.read_text() == "after"


def test_a_device_stays_one() -> None:
    output.check_place(Path("/dev/null"))
    output.write_whole("x" * 100_000, Path("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_pipe_is_written_to(pipe: Path) -> None:
    texts: list[str] = []
    reader = threading.Thread(target=lambda: texts.append(pipe.read_text()))
    reader.start()
    output.check_place(pipe)
    output.write_whole("x" * 200_000, pipe)
    reader.join(10)
    assert texts == ["x" * 200_000]
    assert pipe.is_fifo()


def test_a_descriptor_s_place_is_written_to_behind_what_stands_there(tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("w") as file:
        file.write("before ")
        file.flush()
        output.write_whole("after", Path(f"/dev/fd/{file.fileno()}"))
        file.seek(0, os.SEEK_END)
        file.write(" it")
    assert (tmp_path / "out.txt").read_text() == "before after it"


@pytest.mark.parametrize("name", ["folder", "none/out.json", "out.json/x", "socket", "circle", "to_folder", "to_none"])
def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "out.json").write_text("before")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "to_folder").symlink_to("folder")
    (tmp_path / "to_none").symlink_to(Path("none") / "out.json")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(UserError, match=r"--page: .* (is not a file in an existing folder|cannot be written)"):
            output.check_place(tmp_path / name, "--page")
    assert (tmp_path / "out.json").read_text() == "before"


def test_a_folder_that_takes_no_file_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("synaug.cli.output.tempfile.TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"--json: .* cannot be written \(permission denied\)"):
        output.check_place(tmp_path / "out.json")


def test_sentences_are_wrapped_between_words_in_a_terminal_and_nowhere_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = "Keep control: it is the simplest arm within one standard error of the best, at 83.3 % [not markup]."
    output.print_sentences(sentence)
    assert capsys.readouterr().out == f"{sentence}\n"
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "60")):
        monkeypatch.setenv(name, value)
    output.print_sentences(sentence)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines).split()) == sentence
