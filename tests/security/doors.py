"""The product's entry points: how a hostile case is handed to each."""

from __future__ import annotations

import contextlib
import io
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus.cases import Case
from model_doors import changed_model, checkpoint, judges, weights

LONGEST = 6000


def _data(source: str, **more: Any) -> Any:
    from synaug_core.config import DataConfig

    return DataConfig(source=source, max_rejected=1, image_size=16, min_per_class=1, **more)


def _image(case: Case, folder: Path) -> None:
    from synaug_core.data.decode import UnreadableError, decode, image_size

    data = (folder / "x").read_bytes()
    with contextlib.suppress(UnreadableError):
        image_size(io.BytesIO(data))
    decode(data)


def _prepare(source: Path, **more: Any) -> None:
    from synaug_core.data.prepare import prepare

    prepare(_data(str(source), **more), seed=0)


def _parquet(case: Case, folder: Path) -> None:
    from synaug_core.data import parquet
    from synaug_core.errors import SynaugError

    with contextlib.suppress(SynaugError):
        parquet.read(folder / "x.parquet")
    _prepare(folder / "x.parquet")


def _predictions(case: Case, folder: Path) -> None:
    from synaug_core.evaluate.predictions import Predictions

    Predictions.read(folder / "x.parquet")


def _name(case: Case, folder: Path) -> None:
    from synaug_core import names
    from synaug_core.report import words

    [name] = case.say
    for text in (names.slug(name), *names.slugs([name, name + " ", "a"]).values()):
        if not text or len(text) > 70 or not all(c.isascii() and (c.isalnum() or c in "-_") for c in text):
            raise AssertionError(f"a slug that is none: {text!r}")
    shown = words.plain(name)
    if any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in shown):
        raise AssertionError(f"not printable: {shown!r}")


def _yaml(case: Case, folder: Path) -> None:
    from synaug_core.config.load import load

    load(str(folder / "x.yaml"))


def _sweep(case: Case, folder: Path) -> None:
    from synaug_core.config.sweep import load_sweep

    load_sweep(str(folder / "x.yaml"))


def _set(case: Case, folder: Path) -> None:
    from synaug_core.config.load import load

    load("digits", case.say)


def _address(case: Case, folder: Path) -> None:
    from synaug_core.config.load import load
    from synaug_core.s3_address import s3_address

    [text] = case.say
    with contextlib.suppress(ValueError):
        s3_address(text)
    load(text)


def _body(case: Case, folder: Path) -> None:
    from synaug_core.serving.errors import RequestError
    from synaug_core.serving.uploads import uploads

    try:
        uploads(case.say[0] or None, (folder / "x").read_bytes(), 8)
    except RequestError as refused:
        check_text(str(refused))


def _command(case: Case, folder: Path) -> None:
    from synaug.cli.main import execute

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(folder):
        code = execute(case.say)
    said = out.getvalue() + err.getvalue()
    if code not in (0, 1, 2) or "Traceback" in said or "verysecret" in said:
        raise AssertionError(f"exit code {code}: {said[-800:]}")
    if code == 1:
        raise AssertionError(f"not told as the user's fault: {said[-800:]}")
    for line in err.getvalue().splitlines():
        check_text(line)


def handler(case: Case, place: Path) -> Callable[[Case, Path], Any]:
    if case.door == "classifier":
        from synaug_core.classify.trained import TrainedClassifier

        return lambda c, f: TrainedClassifier.load(changed_model(c, f, place))
    if case.door.startswith("generator-"):
        from synaug_core.generators import registry

        return lambda c, f: registry.load(changed_model(c, f, place))
    return {
        "image": _image,
        "npz": lambda _, f: _prepare(f / "x.npz"),
        "folder": lambda _, f: _prepare(f / "data"),
        "csv": lambda _, f: _prepare(f / "data", metadata="meta.csv"),
        "labels": lambda _, f: _prepare(f / "data", metadata="labels.json"),
        "parquet": _parquet, "predictions": _predictions, "name": _name, "yaml": _yaml, "sweep": _sweep, "set": _set,
        "address": _address, "body": _body, "judges": judges, "checkpoint": checkpoint, "weights": weights,
        "command": _command,
    }[case.door]  # fmt: skip


def check_text(text: str) -> None:
    """An error is for people: some words, not a page, nothing that steers a terminal, no secret."""
    if not text.strip() or len(text) > LONGEST:
        raise AssertionError(f"an error of {len(text)} characters: {text[:100]!r}")
    if "verysecret" in text:
        raise AssertionError("a secret in an error")
