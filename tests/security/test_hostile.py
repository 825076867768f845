"""Hostile inputs: each is accepted or refused in one clear text, in less than ten seconds, and does nothing beside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.environments import without_services

FEED = Path(__file__).with_name("feed.py")
MODELS = ("classifier", "generator-vae", "generator-gan", "judges", "checkpoint", "weights")
DATA = ("npz", "csv", "parquet", "predictions", "folder")
TEXTS = ("yaml", "sweep", "set", "address", "body", "name")
EVERY = ("image", *DATA, *TEXTS, *MODELS, "command")
SHARE = 50
"""Every so many-th case is in the fast part."""


@pytest.fixture
def feed(tmp_path: Path, root: Path) -> Callable[..., list[dict[str, Any]]]:
    """Feeds the cases of some doors in a process of its own and gives what came of each."""

    def run(share: int, *doors: str) -> list[dict[str, Any]]:
        sandbox, home = tmp_path / "sandbox", tmp_path / "home"
        for folder in (sandbox, home):
            folder.mkdir()
        (tmp_path / "guarded").write_text("as it was")
        before = (_listing(tmp_path, sandbox / "inner"), _listing(root / "synaug_core", None))
        out, err = tmp_path / "stdout", tmp_path / "stderr"
        surroundings = without_services()
        paths = (str(root), *filter(None, [os.environ.get("PYTHONPATH")]))
        surroundings.update(PYTHONPATH=os.pathsep.join(paths), PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
        out.touch()
        err.touch()
        before[0].update(_listing(tmp_path, sandbox / "inner"))
        with out.open("w") as stdout, err.open("w") as stderr:
            ended = subprocess.run(
                [sys.executable, str(FEED), str(sandbox), "0", str(share), *doors],
                env=surroundings, cwd=sandbox, stdout=stdout, stderr=stderr, timeout=1800,
            )  # fmt: skip
        said = [json.loads(line) for line in out.read_text().splitlines() if line.startswith("{")]
        begun = next((s for s in reversed(said) if s.get("begun")), None)
        assert ended.returncode == 0, f"hung or crashed at {begun}: {err.read_text()[-3000:]}"
        after = (_listing(tmp_path, sandbox / "inner"), _listing(root / "synaug_core", None))
        assert after[0].keys() - {"stdout", "stderr"} == before[0].keys() - {"stdout", "stderr"}
        assert after[1:] == before[1:]
        assert (tmp_path / "guarded").read_text() == "as it was"
        return [s for s in said if not s.get("begun")]

    return run


def _listing(folder: Path, leave_out: Path | None) -> dict[str, int]:
    """The files below a folder and their sizes; compiled ones left out."""
    found = {}
    for file in folder.rglob("*"):
        if "__pycache__" not in file.parts and (leave_out is None or leave_out not in (file, *file.parents)):
            found[str(file.relative_to(folder))] = file.stat().st_size if file.is_file() else 0
    return found


def _check(answers: list[dict[str, Any]]) -> None:
    wrong = [a for a in answers if a["came"] not in ("accepted", "refused") or a["did"]]
    assert not wrong, "\n".join(f"{a['door']} {a['name']}: {a['came']} {a['text']} {a['did']}" for a in wrong[:20])
    assert max(a["seconds"] for a in answers) < 10


def test_some_of_the_hostile_inputs_do_no_harm(feed: Callable[..., list[dict[str, Any]]]) -> None:
    answers = feed(SHARE, *EVERY)
    assert len(answers) >= 190
    assert {a["door"] for a in answers} == set(EVERY) - {"command"}
    _check(answers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("doors", "least"), [(("image",), 3000), (DATA, 2400), (TEXTS, 3800), (MODELS, 500), (("command",), 20)]
)
def test_no_hostile_input_does_harm(
    feed: Callable[..., list[dict[str, Any]]], doors: tuple[str, ...], least: int
) -> None:
    answers = feed(1, *doors)
    assert len(answers) >= least
    _check(answers)


def test_the_corpus_is_large_and_repeats() -> None:
    script = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); from corpus.whole import corpus; cases = corpus()\n"
        "print(len(cases), hashlib.sha256(repr(cases).encode()).hexdigest())"
    )
    command = [sys.executable, "-c", script, str(FEED.parent)]
    said = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert int(said[0].split()[0]) > 10_000
    assert said[0] == said[1]


def test_the_watch_sees_what_it_is_for(tmp_path: Path) -> None:
    """A file outside, a process, a connection and an unpickled object would be noticed."""
    script = (
        "import sys, os, pickle, socket, subprocess; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from watch import Watch; from corpus.cases import Trap\n"
        "inner = Path(sys.argv[2]); watch = Watch(inner); sys.addaudithook(watch); watch.on = True\n"
        "(inner / 'mine').write_text('x'); seen = len(watch.seen)\n"
        "(inner.parent / 'evil').write_text('x'); (inner.parent / 'folder').mkdir(); os.system('true')\n"
        "subprocess.run(['true']); pickle.loads(pickle.dumps(Path))\n"
        "try: socket.create_connection(('127.0.0.1', 9), 1)\n"
        "except OSError: pass\n"
        "watch.on = False; print(seen, sorted({s.split()[0] for s in watch.seen}))"
    )
    (tmp_path / "inner").mkdir()
    command = [sys.executable, "-c", script, str(FEED.parent), str(tmp_path / "inner")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("0 ")
    for event in ("open", "os.mkdir", "os.system", "subprocess.Popen", "pickle.find_class", "socket.connect"):
        assert repr(event) in said
