"""Coverage-guided fuzzing of everything that reads: images, archives, tables, YAML, request bodies and models.

`python tests/security/fuzz.py SECONDS [SEED]` divides the time among all targets, each in a watched process of its own.
Inputs begin as valid ones, packed so that checksums and archives are right and what is inside is read. What escapes,
hangs, crashes or does anything beside is printed, kept in a folder, and makes it end with 1.
"""

from __future__ import annotations

import base64
import faulthandler
import importlib
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from corpus.archives import zipped
from corpus.cases import Case, Files
from corpus.pictures import class_folders, encode, plain_image, valid_images
from feed import LATE, MEMORY, SECONDS, _run
from guided import breed
from model_doors import valid_model
from watch import Watch

_ROOT = Path(__file__).parents[2]
_MOST_FINDINGS = 20
_BOUNDARY = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\nhello\r\n--b--\r\n'


@dataclass(frozen=True)
class Target:
    """A kind of input: the door it goes through, valid ones, and how the bytes that are changed become files."""

    name: str
    door: str
    seeds: Callable[[Path], list[bytes]]
    pack: Callable[[bytes], Files]
    say: tuple[str, ...] = ()


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the right checksums, as far as they can be told apart; others as they are."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4])
        if place + 12 + length > len(data):
            break
        body = data[place + 4 : place + 8 + length]
        out += data[place : place + 4] + body + zlib.crc32(body).to_bytes(4)
        place += 12 + length
    return bytes(out) + data[place:]


def _npy(array: Any) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npz_targets() -> Iterator[Target]:
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)
    arrays = {
        "images": _npy(images), "labels": _npy(np.arange(40) % 2), "groups": _npy(np.arange(40) // 2),
        "class_names": _npy(np.array(["a", "b"])),
    }  # fmt: skip
    for key, seed in arrays.items():

        def pack(data: bytes, key: str = key) -> Files:
            return {"x.npz": zipped({f"{name}.npy": value for name, value in {**arrays, key: data}.items()})}

        yield Target(f"npz-{key}", "npz", lambda _, seed=seed: [seed], pack)


def _stored_target(
    name: str, door: str, kind: str, file: str, packed_as: str = "", say: tuple[str, ...] = ()
) -> Target:
    """A file of a stored model of a kind, given under its own name or another."""
    return Target(
        name,
        door,
        lambda place: [(valid_model(kind, place) / file).read_bytes()],
        lambda data: {packed_as or file: data},
        say,
    )


def _parquet_target() -> Target:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def pack(data: bytes) -> Files:
        """One image, and the file's own facts, of one text."""
        image, _, facts = data.partition(b"\0FACTS\0")
        n = 24
        columns = {
            "image": [{"bytes": image, "path": "x"}] + [{"bytes": plain_image(i), "path": "x"} for i in range(1, n)],
            "label": [i % 2 for i in range(n)], "id": [f"i{i}" for i in range(n)], "split": ["train"] * n,
            "group": [""] * n, "provenance": ['{"source": "x"}'] * n,
        }  # fmt: skip
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns).replace_schema_metadata({b"synaug": facts} if facts else None), buffer)
        return {"x.parquet": buffer.getvalue()}

    facts = json.dumps({"classes": ["a", "b"], "channels": 3, "height": 16, "width": 16}).encode()
    return Target("parquet", "parquet", lambda _: [plain_image(0), plain_image(0) + b"\0FACTS\0" + facts], pack)


def _whole_parquet(_: Path) -> list[bytes]:
    return [_parquet_target().pack(plain_image(0))["x.parquet"]]


def _csv_seeds(_: Path) -> list[bytes]:
    ids = [f"{name}/{n:03}.png" for name in "ab" for n in range(12)]
    return [
        ("id,group,split\n" + "".join(f"{i},{n},\n" for n, i in enumerate(ids))).encode(),
        ("id,label\n" + "".join(f"{i},{i[0]}\n" for i in ids)).encode(),
        b"id,group\n" + b"".join(f"{i},NA\n".encode() for i in ids),
    ]


def _labels_seeds(_: Path) -> list[bytes]:
    ids = [f"{name}/{n:03}.png" for name in "ab" for n in range(12)]
    coco = {
        "images": [{"id": n, "file_name": i} for n, i in enumerate(ids)],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [{"image_id": n, "category_id": 1 + (i[0] == "b")} for n, i in enumerate(ids)],
    }
    tasks = [
        {"data": {"image": i}, "annotations": [{"result": [{"type": "choices", "value": {"choices": [i[0]]}}]}]}
        for i in ids
    ]
    fiftyone = {"classes": ["a", "b"], "labels": {i: int(i[0] == "b") for i in ids}}
    return [json.dumps(one).encode() for one in (coco, tasks, fiftyone, {i: i[0] for i in ids})]


def _yaml_seeds(_: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((_ROOT / "examples").glob("*.yaml"))]


def _body_seeds(_: Path) -> list[bytes]:
    picture = base64.encodebytes(plain_image(0)).decode()
    return [json.dumps({"images": [picture, {"name": "a", "data": f"data:image/png;base64,{picture}"}]}).encode()]


def _deep_image() -> bytes:
    import numpy as np

    return encode(np.arange(144, dtype=np.uint16).reshape(12, 12) * 28, "TIFF")


TARGETS = (
    Target("image", "image", lambda _: [*valid_images().values(), _deep_image()], lambda d: {"x": with_checksums(d)}),
    Target(
        "image-in-folder",
        "folder",
        lambda _: [*valid_images().values(), _deep_image()],
        lambda d: {**class_folders({"a": 8, "b": 8}), "data/a/x.png": with_checksums(d)},
    ),
    *_npz_targets(),
    _parquet_target(),
    Target("parquet-whole", "parquet", _whole_parquet, lambda d: {"x.parquet": d}),
    Target("csv", "csv", _csv_seeds, lambda d: {**class_folders({"a": 12, "b": 12}), "data/meta.csv": d}),
    Target("labels", "labels", _labels_seeds, lambda d: {**class_folders({"a": 12, "b": 12}), "data/labels.json": d}),
    Target("yaml", "yaml", _yaml_seeds, lambda d: {"x.yaml": d}),
    Target("sweep", "sweep", lambda p: [*_yaml_seeds(p), b"sweep: {seed: [1, 2]}\n"], lambda d: {"x.yaml": d}),
    Target("body-json", "body", _body_seeds, lambda d: {"x": d}, ("application/json",)),
    Target("body-form", "body", lambda _: [_BOUNDARY], lambda d: {"x": d}, ("multipart/form-data; boundary=b",)),
    _stored_target("classifier-spec", "classifier", "classifier", "spec.json"),
    _stored_target("classifier-weights", "classifier", "classifier", "weights.safetensors", say=("seal",)),
    _stored_target("generator-spec", "generator-vae", "generator-vae", "spec.json"),
    _stored_target("weights", "weights", "classifier", "weights.safetensors", "x.safetensors"),
)


def _fuzz_one(target: Target, sandbox: Path, seconds: float, seed: int) -> None:
    """In a process of its own: prints a JSON line for each finding, and one at the end."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    inner = sandbox / "inner"
    inner.mkdir()
    tempfile.tempdir = str(inner)
    os.environ.update(SYNAUG_HOME=str(inner / "home"), HOME=str(inner), HF_HUB_OFFLINE="1", TMPDIR=str(inner))
    os.chdir(inner)
    watch = Watch(inner)
    seeds = target.seeds(inner)
    case = inner / "case"
    count = -len(seeds)  # those are fed once before: imports are nobody's ten seconds

    def feed(data: bytes) -> str:
        nonlocal count
        (sandbox / "input").write_bytes(data)  # of a process that hangs or crashes
        files = target.pack(data)
        for name, content in files.items():
            (case / name).parent.mkdir(parents=True, exist_ok=True)
            (case / name).write_bytes(content)
        watch.seen.clear()
        watch.on = count >= 0
        if watch.on:
            faulthandler.dump_traceback_later(SECONDS, exit=True)
        came, text = _run(Case(target.door, target.name, files, target.say), case, inner)
        watch.on = False
        faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(case, ignore_errors=True)
        count += 1
        problem = text if came not in ("accepted", "refused") else ""
        return problem or "; ".join(watch.seen)

    sys.addaudithook(watch)
    for library in LATE.get(target.door, ()):
        importlib.import_module(library)
    for data in seeds:
        feed(data)
    end = time.monotonic() + seconds
    for data, problem in breed(
        feed, seeds, str(_ROOT / "synaug_core"), random.Random(seed), lambda: time.monotonic() < end
    ):
        _say(json.dumps({"problem": problem[:900], "input": base64.b64encode(data).decode()}))
    _say(json.dumps({"inputs": count}))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(seconds: float, seed: int) -> int:
    """Fuzz every target; 1 where something was found."""
    kept = Path(tempfile.mkdtemp(prefix="synaug-fuzz-"))
    problems: dict[str, bytes] = {}
    for target in TARGETS:
        with tempfile.TemporaryDirectory() as sandbox:
            command = [sys.executable, __file__, target.name, sandbox, str(seconds / len(TARGETS)), str(seed)]
            environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
            found = {line["problem"]: base64.b64decode(line["input"]) for line in lines if "problem" in line}
            if ended.returncode:
                last_words = ended.stderr.strip()[-900:]
                found[f"ended with {ended.returncode}: {last_words}"] = (Path(sandbox) / "input").read_bytes()
        inputs = next((line["inputs"] for line in lines if "inputs" in line), "?")
        _say(f"{target.name}: {inputs} inputs, {len(found)} findings")
        problems |= {f"{target.name}: {problem}": data for problem, data in list(found.items())[:_MOST_FINDINGS]}
    for number, (problem, data) in enumerate(problems.items()):
        (kept / str(number)).write_bytes(data)
        _say(f"{problem}\n  input: {kept / str(number)}")
    if not problems:
        kept.rmdir()
    return int(bool(problems))


if __name__ == "__main__":
    if len(sys.argv) == 5:
        [chosen] = [target for target in TARGETS if target.name == sys.argv[1]]
        _fuzz_one(chosen, Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
