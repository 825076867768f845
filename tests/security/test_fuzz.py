"""The fuzzers themselves: what is bred reaches further than chance, and no target finds anything in a moment."""

from __future__ import annotations

import importlib.util
import itertools
import os
import random
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DEEP = """
def read(data):
    for place in range(6):
        if len(data) < 6:
            return
        if place == 0 and data[0] > 15: return
        if place == 1 and data[1] < 240: return
        if place == 2 and data[2] > 15: return
        if place == 3 and data[3] < 240: return
        if place == 4 and data[4] > 15: return
        if place == 5 and data[5] < 240: return
    raise ValueError("reached")
"""


@pytest.fixture
def guided(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("guided")


def test_inputs_are_bred_towards_lines_that_none_reached(guided, tmp_path: Path) -> None:
    (tmp_path / "deep.py").write_text(DEEP)
    specification = importlib.util.spec_from_file_location("deep", tmp_path / "deep.py")
    deep = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(deep)
    count = itertools.count()

    def feed(data: bytes) -> str:
        try:
            deep.read(data)
        except ValueError as error:
            return str(error)
        return ""

    def reached(folder: str) -> bool:
        end = next(count) + 3_000
        return any(guided.breed(feed, [b"xxxxxx"], folder, random.Random(0), lambda: next(count) < end))

    assert reached(str(tmp_path))
    assert not reached("/nowhere")


def test_packed_images_have_right_checksums(guided) -> None:
    fuzz = importlib.import_module("fuzz")
    picture = fuzz.plain_image(0)
    spoilt = bytearray(picture)
    spoilt[20] ^= 1
    repaired = fuzz.with_checksums(bytes(spoilt))
    assert fuzz.with_checksums(picture) == picture
    assert repaired[:29] == bytes(spoilt[:29])
    assert int.from_bytes(repaired[29:33]) == zlib.crc32(repaired[12:29])
    assert fuzz.with_checksums(picture[:40])[:8] == picture[:8]


def _finds_nothing(target: str, root: Path, sandbox: Path) -> None:
    command = [sys.executable, str(HERE / "fuzz.py"), target, str(sandbox), "1", "0"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert '"problem"' not in said.stdout
    assert '"inputs": ' in said.stdout


def test_a_moment_of_fuzzing_finds_nothing(root: Path, tmp_path: Path) -> None:
    _finds_nothing("body-json", root, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["image", "npz-labels", "csv", "labels", "yaml", "classifier-spec"])
def test_a_moment_of_fuzzing_finds_nothing_elsewhere(target: str, root: Path, tmp_path: Path) -> None:
    _finds_nothing(target, root, tmp_path)
