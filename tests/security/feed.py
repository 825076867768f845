"""Feeds hostile cases to the product, in a process of its own that is watched.

Called as `python feed.py SANDBOX SEED SHARE DOOR...`.
Prints a JSON line for each case: what came of it, and everything that it did beside. A case that hangs ends the
process with the stack on stderr.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from corpus.cases import Case
from corpus.pictures import class_folders, plain_image
from corpus.whole import corpus, thinned
from doors import check_text, handler
from model_doors import valid_model
from watch import Watch

SECONDS = 10
MEMORY = 12 * 2**30
LATE = {
    "set": ("timm",),
    "yaml": ("timm",),
    "sweep": ("timm",),
    "command": ("synaug_core.classify.trained", "synaug_core.services.models.exported", "mlflow", "timm"),
}
"""Libraries that a door's first case need not reach and a later one does."""


def _run(case: Case, folder: Path, place: Path) -> tuple[str, str]:
    from synaug_core.errors import SynaugError

    try:
        handler(case, place)(case, folder)
    except SynaugError as error:
        try:
            check_text(str(error))
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
        for library in LATE.get(door, ()):
            importlib.import_module(library)
        first = Case(door, "first", {"x": plain_image(0), **class_folders({"a": 8, "b": 8})}, ("digits",))
        (inner / "first").mkdir()
        if door == "classifier" or door.startswith("generator-"):
            valid_model(door, inner)
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
