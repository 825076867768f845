"""Feeds hostile cases to the product, in a process of its own that is watched.

Called as `python feed.py SANDBOX SEED SHARE DOOR...`.
Prints a JSON line for each case: what came of it, and everything that it did beside. A case that hangs ends the
process with the stack on stderr.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from corpus import Case, class_folders, corpus, mutated, plain_image, thinned

SECONDS = 10
MEMORY = 12 * 2**30
LONGEST = 6000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = {
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.connect", "socket.bind",
    "socket.getaddrinfo", "ctypes.dlopen",
}  # fmt: skip
_MOVES = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.rmtree",
}


class Watch:
    """What the interpreter is asked to do that no input may bring about."""

    def __init__(self, allowed: Path) -> None:
        self.on, self.seen, self._allowed = False, [], str(allowed.resolve())

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "ctypes.dlopen" and self._allowed not in str(arguments[0]):
            return  # a library of ours
        if event == "subprocess.Popen" and arguments[0] == "/sbin/ldconfig":
            return  # how Python finds a system library, while something is imported
        if event in _FORBIDDEN:
            self.seen.append(f"{event} {arguments[:1]!r}"[:200])
        elif event == "pickle.find_class" and arguments[0] not in {"collections", "torch._utils", "torch"}:
            self.seen.append(f"{event} {arguments!r}"[:200])
        elif event == "open":
            path, mode, flags = arguments
            writes = (isinstance(flags, int) and flags & _WRITING) or (
                isinstance(mode, str) and set(mode) & set("wax+")
            )
            if writes and not isinstance(path, int):
                self._inside(event, path)
        elif event in _MOVES:
            self._inside(event, arguments[0])

    def _inside(self, event: str, path: Any) -> None:
        text = os.path.realpath(os.fsdecode(path)) if isinstance(path, (str, bytes, os.PathLike)) else repr(path)
        if not text.startswith((self._allowed, "/dev/null")):
            self.seen.append(f"{event} {text}"[:200])


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
    from synaug_core.services.service_input import Refused, uploads

    try:
        uploads(case.say[0] or None, (folder / "x").read_bytes(), 8)
    except Refused as refused:
        _check_text(str(refused))


def _images() -> Any:
    """A tiny set that models are fitted on."""
    import torch

    from synaug_core.data.imageset import ImageSet

    made = torch.randint(0, 256, (12, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    names = tuple(f"i{n}" for n in range(12))
    return ImageSet(made, torch.arange(12) % 2, ("a", "b"), names, ("",) * 12, ("{}",) * 12)


def _valid(door: str, place: Path) -> Path:
    """A folder that the product itself wrote; made once."""
    folder = place / f"valid-{door}"
    if folder.exists():
        return folder
    from synaug_core.config import ArmConfig, ClassifierConfig, GeneratorConfig

    if door == "classifier":
        from synaug_core.classify.training import train

        arm = ArmConfig(name="x", sampling="balanced", augmentation="none")
        config = ClassifierConfig(steps=2, evaluate_every=1, width=8)
        train(config, arm, _images(), _images(), init_seed=0, batch_seed=0).save(folder)
    else:
        import torch

        from synaug_core.generators import registry

        options = GeneratorConfig(kind=door.partition("-")[2], steps=2, evaluate_every=1, width=8)
        made = registry.create(options, ("a", "b"), 1, 16)
        made.fit(_images(), seed=0, device=torch.device("cpu")).save(folder)
    return folder


def _changed(case: Case, folder: Path, place: Path) -> Path:
    """A valid folder with the case's changes."""
    target = folder / "model"
    shutil.copytree(_valid(case.door, place), target)
    spec = json.loads((target / "spec.json").read_text())
    for name, data in case.files.items():
        (target / name).write_bytes(data)
    for order in case.say:
        if order.startswith("["):
            key, value = json.loads(order)
            *above, last = key.split(".")
            inner = spec
            for part in above:
                inner = inner[part]
            inner.pop(last, None)
            if value != "LEFT OUT":
                inner[last] = value
            (target / "spec.json").write_text(json.dumps(spec))
        elif order.startswith("without "):
            (target / order.removeprefix("without ")).unlink()
        elif order.startswith("mutate "):
            _, name, seed = order.split()
            (target / name).write_bytes(mutated((target / name).read_bytes(), random.Random(int(seed))))
        elif order == "seal" and "weights" in spec:  # the digest is right: whoever changes one file can change both
            from synaug_core import digests

            spec["weights"] = digests.of_bytes((target / "weights.safetensors").read_bytes())
            (target / "spec.json").write_text(json.dumps(spec))
    return target


def _judges(case: Case, folder: Path) -> None:
    from synaug_core.quality.judge import Judges

    Judges.load(folder)


def _checkpoint(case: Case, folder: Path) -> None:
    import torch

    from synaug_core.checkpoints import Checkpoint

    file = folder / "x.pt"
    if not file.exists():
        torch.save({"step": 3, "model": {"w": torch.zeros(4)}}, file)
        file.write_bytes(mutated(file.read_bytes(), random.Random(int(case.say[0]))))
    Checkpoint(file).load()


def _weights(case: Case, folder: Path) -> None:
    from synaug_core.classify.weights import read

    [file] = folder.iterdir()
    read(file)


def _command(case: Case, folder: Path) -> None:
    from synaug_cli.main import execute

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(folder):
        code = execute(case.say)
    said = out.getvalue() + err.getvalue()
    if code not in (0, 1, 2) or "Traceback" in said or "verysecret" in said:
        raise AssertionError(f"exit code {code}: {said[-800:]}")
    if code == 1:
        raise AssertionError(f"not told as the user's fault: {said[-800:]}")
    for line in err.getvalue().splitlines():
        _check_text(line)


def _door(case: Case, place: Path) -> Callable[[Case, Path], Any]:
    if case.door == "classifier":
        from synaug_core.classify.trained import TrainedClassifier

        return lambda c, f: TrainedClassifier.load(_changed(c, f, place))
    if case.door.startswith("generator-"):
        from synaug_core.generators import registry

        return lambda c, f: registry.load(_changed(c, f, place))
    return {
        "image": _image,
        "npz": lambda _, f: _prepare(f / "x.npz"),
        "folder": lambda _, f: _prepare(f / "data"),
        "csv": lambda _, f: _prepare(f / "data", metadata="meta.csv"),
        "parquet": _parquet, "predictions": _predictions, "name": _name, "yaml": _yaml, "sweep": _sweep, "set": _set,
        "address": _address, "body": _body, "judges": _judges, "checkpoint": _checkpoint, "weights": _weights,
        "command": _command,
    }[case.door]  # fmt: skip


def _check_text(text: str) -> None:
    """An error is for people: some words, not a page, nothing that steers a terminal, no secret."""
    if not text.strip() or len(text) > LONGEST:
        raise AssertionError(f"an error of {len(text)} characters: {text[:100]!r}")
    if "verysecret" in text:
        raise AssertionError("a secret in an error")


def _came_of(case: Case, folder: Path, place: Path) -> tuple[str, str]:
    from synaug_core.errors import SynaugError

    try:
        _door(case, place)(case, folder)
    except SynaugError as error:
        try:
            _check_text(str(error))
        except AssertionError as bad:
            return "bad text", str(bad)
        return "refused", str(error)[:300]
    except BaseException as error:
        import traceback

        where = traceback.extract_tb(error.__traceback__)
        own = next((f for f in reversed(where) if "synaug_" in f.filename), where[-1])
        return "escaped", f"{type(error).__name__}: {error} at {Path(own.filename).name}:{own.lineno}"[:900]
    return "accepted", ""


def main(sandbox: Path, seed: int, share: int, doors: list[str]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    inner = sandbox / "inner"
    inner.mkdir(exist_ok=True)
    tempfile.tempdir = str(inner)
    os.environ.update(SYNAUG_HOME=str(inner / "home"), HOME=str(inner), HF_HUB_OFFLINE="1", TMPDIR=str(inner))
    watch = Watch(inner)
    sys.addaudithook(watch)
    cases = [c for c in (corpus(seed) if share == 1 else thinned(corpus(seed), share)) if c.door in doors]
    for door in dict.fromkeys(c.door for c in cases):  # imports and valid models are nobody's ten seconds
        first = Case(door, "first", {"x": plain_image(0), **class_folders({"a": 8, "b": 8})}, ("digits",))
        (inner / "first").mkdir()
        if door == "classifier" or door.startswith("generator-"):
            _valid(door, inner)
        _run(first, inner / "first", inner)
        shutil.rmtree(inner / "first", ignore_errors=True)
    with contextlib.chdir(inner):
        for number, case in enumerate(cases):
            folder = inner / f"case-{number}"
            for name, data in case.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            folder.mkdir(exist_ok=True)
            _tell({"door": case.door, "name": case.name, "begun": True})
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            watch.seen.clear()
            watch.on, begun = True, time.monotonic()
            came, text = _run(case, folder, inner)
            watch.on = False
            faulthandler.cancel_dump_traceback_later()
            traps = [str(p) for p in (folder, inner, Path.cwd()) if (p / "TRAP").exists()]
            answer = {
                "door": case.door,
                "name": case.name,
                "came": came,
                "text": text,
                "seconds": time.monotonic() - begun,
            }
            _tell({**answer, "did": [*watch.seen, *traps]})
            shutil.rmtree(folder, ignore_errors=True)


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _run(case: Case, folder: Path, inner: Path) -> tuple[str, str]:
    return _came_of(case, folder, inner)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
