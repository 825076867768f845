from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from synaug_core.atomic_files import atomic_write


def test_what_fails_half_way_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    with pytest.raises(UnicodeEncodeError), atomic_write(file) as partial, partial.open("w", encoding="ascii") as text:
        text.writelines(["half", "\N{SNOWMAN}"])
    assert file.read_text() == "before"
    with atomic_write(file) as partial:
        partial.write_text("after")
        assert file.read_text() == "before"
    assert file.read_text() == "after"
    assert list(tmp_path.iterdir()) == [file]


def test_many_may_write_at_once(tmp_path: Path) -> None:
    file = tmp_path / ("n" * 255)  # the longest name there is

    def write(letter: str) -> None:
        for _ in range(20):
            with atomic_write(file) as partial, partial.open("w") as text:
                for _ in range(50):
                    text.write(letter)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    assert file.read_text() in {letter * 50 for letter in "abcd"}
    assert list(tmp_path.iterdir()) == [file]
