"""What is said before anything is started: `synaug init`, `synaug run --dry-run`, `synaug config`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synaug.cli import main
from synaug_core.config.load import load

Command = Callable[..., Any]


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for label, count in {"cat": 20, "dog": 9}.items():
        (tmp_path / "pets" / label).mkdir(parents=True)
        for n in range(count):
            pixels = np.random.default_rng([n, ord(label[0])]).integers(0, 256, (20, 20, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pets" / label / f"{n}.png")
    return tmp_path / "pets"


def test_init_writes_a_configuration_that_runs_and_says_what_it_saw(synaug: Command, images: Path, home: Path) -> None:
    said = synaug("init", "pets", "--effort", "low", "--set", "data.min_per_class=3")
    assert (said.code, said.err) == (0, "")
    assert "29 images in 2 classes" in said.out
    assert re.search(r"dog +9 +about 6 to train on  <- the rarest", said.out)
    assert "minutes on this machine's CPU" in said.out
    assert load("pets.yaml") == load("pets", ["effort=low", "data.min_per_class=3"])
    text = Path("pets.yaml").read_text()
    assert "source: ./pets" in text.replace('"', "")
    assert re.search(r"# +dog +9 ", text)
    assert not home.exists() or not any(home.iterdir()), "nothing was started"
    assert synaug("init", "pets").code == 2, "what is there is left as it is"
    assert Path("pets.yaml").read_text() == text


def test_a_table_may_be_the_source(synaug: Command, images: Path) -> None:
    names = sorted(images.rglob("*.png"))
    rows = [f"{path.relative_to(images)};{'old' if n % 2 else 'young'}" for n, path in enumerate(names)]
    (images / "ages.csv").write_text("sep=;\r\nid;label\r\n" + "\r\n".join(rows), encoding="utf-16")
    said = synaug("init", "pets/ages.csv")
    assert (said.code, said.err) == (0, "")
    assert load("pets.yaml") == load("pets", ["data.metadata=pets/ages.csv"])
    assert 'metadata: "./pets/ages.csv"' in Path("pets.yaml").read_text()


@pytest.mark.parametrize("command", ["init", "run"])
def test_images_that_cannot_be_used_are_refused_before_anything_is_started(
    synaug: Command, images: Path, home: Path, command: str
) -> None:
    for path in sorted((images / "dog").iterdir())[2:]:
        path.unlink()
    said = synaug(command, "pets")
    assert said.code == 2
    assert said.err == (
        "synaug: 'dog' has 2 images; at least 5 training images are needed: add images, or leave out what is too "
        "small: --set data.small_classes=drop (or keep it: --set data.small_classes=keep)\n"
    )
    assert not home.exists() or not any(home.iterdir())
    assert not Path("pets.yaml").exists()


def test_a_dry_run_says_what_would_be_done_and_starts_nothing(synaug: Command, images: Path, home: Path) -> None:
    said = synaug("run", "pets", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "29 images in 2 classes" in said.out
    assert "plan: effort medium" in said.out
    assert said.out.endswith("Nothing was started; the same command without --dry-run does it.\n")
    assert not home.exists() or not any(home.iterdir())
    assert synaug("run", "pets", "--dry-run", "--set", "generator.kind=vaee").code == 2


def test_config_says_what_a_key_is_for(synaug: Command) -> None:
    said = synaug("config", "data.small_classes")
    assert said.out.splitlines()[0] == "data.small_classes"
    assert "takes: refuse, drop or keep" in said.out
    assert "example: --set data.small_classes=drop" in said.out
    assert json.loads(synaug("config", "--schema").out)["additionalProperties"] is False
    assert len(synaug("config").out.splitlines()) > 500
    said = synaug("config", "data.smal")
    assert (said.code, said.out) == (2, "")
    assert "the nearest known key is data.small_classes" in said.err


@pytest.mark.parametrize("arguments", [*([name] for name, _, _ in main._COMMANDS), ["models", "promote"]])
def test_the_help_of_a_command_has_examples(
    synaug: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = synaug(*arguments, "--help").out
    examples = text.partition("Examples:")[2].strip().splitlines()
    assert examples
    assert all(line.strip().startswith(f"synaug {' '.join(arguments)}") for line in examples)


@pytest.mark.parametrize(
    ("words", "expected"), [("synaug in", "init"), ("synaug config data.sm", "data.small_classes")]
)
def test_the_shell_completes(root: Path, words: str, expected: str) -> None:
    environment = os.environ | {
        "_SYNAUG_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
    }  # fmt: skip
    code = "from synaug.cli.main import run_app; run_app()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == [expected], done.stderr
