"""Hostile tables: CSV and Parquet."""

from __future__ import annotations

import io
import json
import pickle
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from corpus.cases import Case, Trap, mutated
from corpus.images import made_images
from corpus.names import NAMES
from corpus.pictures import class_folders, encode


def csv(rng: random.Random) -> Iterator[Case]:
    good = class_folders({"a": 12, "b": 12})
    ids = sorted(k.removeprefix("data/") for k in good)
    plain = "id,group,split\n" + "".join(f"{i},{n},\n" for n, i in enumerate(ids))
    texts: dict[str, bytes] = {
        "empty": b"", "nul": b"id\n\0\0\0", "nul-in-field": plain.encode().replace(b"a/000", b"a\0/000"),
        "binary": bytes(range(256)), "utf16": plain.encode("utf-16"), "latin1": b"id,group\na/000.png,caf\xe9\n",
        "bom": b"\xef\xbb\xbf" + plain.encode(), "huge-field": b"id,group\na/000.png," + b"x" * 300_000 + b"\n",
        "huge-heading": b"id," + b"x" * 200_000 + b"\n",
        "many-columns": b"id," + b",".join(b"c%d" % i for i in range(20_000)) + b"\n",
        "open-quote": b'id,group\n"a/000.png,1\n' * 50, "quote-inside": b'id,group\na"b"/000.png,"x"y\n',
        "only-heading": b"id,group,split\n", "no-heading": b"a/000.png,1\n", "twice": b"id\na/000.png\na/000.png\n",
        "columns-twice": b"id,id\na/000.png,a/000.png\n", "wrong-split": b"id,split\na/000.png,evil\n",
        "partial-split": b"id,split\na/000.png,train\n", "short-row": b"id,group\na/000.png\n",
        "long-row": b"id\na/000.png,1,2,3\n", "carriage": b"id,group\ra/000.png,1\r", "blank-lines": b"id\n\n\n\n",
        "separator": b"id;group\na/000.png;1\n", "tabs": b"id\tgroup\n", "traversal": b"id\n../../../etc/passwd\n",
        "absolute": b"id\n/etc/passwd\n", "one-group": b"id,group\n" + b"".join(f"{i},g\n".encode() for i in ids),
        "formula": b"id,group\na/000.png,=cmd|'/c calc'!A1\n", "heading-formula": b"=1+1,id\n",
        "pickle": pickle.dumps(Trap()), "html": b"<script>,id\n", "surrogates": b"id\n\xed\xa0\x80\n",
        "lone-cr": b"id\n\r\r\r\n", "million-rows": b"id\n" + b"x\n" * 200_000,
    }  # fmt: skip
    for n, name in enumerate(NAMES[::5]):
        texts[f"group-{n}"] = ("id,group\n" + f'a/000.png,"{name}"\n').encode("utf-8", "surrogatepass")
        texts[f"id-{n}"] = f'id\n"{name}"\n'.encode("utf-8", "surrogatepass")
    for n in range(20):
        texts[f"mutated-{n}"] = mutated(plain.encode(), rng)
    for name, data in texts.items():
        yield Case("csv", name, {**good, "data/meta.csv": data})


def parquet(rng: random.Random) -> Iterator[Case]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture = encode(np.zeros((16, 16, 3), np.uint8), "PNG")
    facts = {"classes": ["a", "b"], "channels": 3, "height": 16, "width": 16}

    def file(facts: Any = facts, image: Any = picture, raw: bytes | None = None, **columns: Any) -> bytes:
        n = 24
        own = {
            "image": [{"bytes": image, "path": "../../evil.png"}] * n, "label": [i % 2 for i in range(n)],
            "id": [f"i{i}" for i in range(n)], "split": ["train"] * n, "group": ["" for _ in range(n)],
            "provenance": ['{"source": "x"}'] * n, **columns,
        }  # fmt: skip
        table = pa.table({k: v for k, v in own.items() if v is not None})
        meta = {b"synaug": raw if raw is not None else json.dumps(facts).encode()} if facts is not None else None
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(meta), buffer)
        return buffer.getvalue()

    made = {
        "empty": b"",
        "magic": b"PAR1PAR1",
        "text": b"PAR1 hello PAR1",
        "no-facts": file(None),
        "pickle": pickle.dumps(Trap()),
    }
    value: Any
    for n, value in enumerate((0, -1, 2, 10**12, 2**64, "3", None, [], {}, 1.5, float("nan"), True)):
        for key in ("channels", "height", "width"):
            made[f"{key}-{n}"] = file({**facts, key: value})
    for n, value in enumerate(
        (
            None,
            [],
            "ab",
            3,
            {"a": 1},
            ["a"],
            ["a", "a"],
            ["a", None],
            [["a"], ["b"]],
            ["../x", "/y"],
            ["\x00", "\x1b[2J"],
        )
    ):
        made[f"classes-{n}"] = file({**facts, "classes": value})
    for n, raw in enumerate(
        (b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"classes": ' + b"9" * 5000 + b"}", b"1e999")
    ):
        made[f"facts-{n}"] = file(raw=raw)
    for name, data in made_images()[:30:2]:
        made[f"image-{name}"] = file(image=data)
    made["image-null"] = file(image=None)
    for n, values in enumerate(([9] * 24, [-1] * 24, [2**62] * 24, ["a"] * 24, [None] * 24, [0.5] * 24, [[1]] * 24)):
        made[f"labels-{n}"] = file(label=values)
    for column in ("image", "label", "id", "split", "group", "provenance"):
        spoilt: dict[str, Any] = {"without": None, "numbers-in": list(range(24)), "nulls-in": [None] * 24}
        for kind, value in spoilt.items():
            made[f"{kind}-{column}"] = file(**{column: value})
    made["ids-twice"] = file(id=["x"] * 24)
    made["provenance-deep"] = file(provenance=["[" * 5000] * 24)
    valid = file()
    for n in range(30):
        made[f"mutated-{n}"] = mutated(valid, rng)
    for name, data in made.items():
        yield Case("parquet", name, {"x.parquet": data})


def predictions(rng: random.Random) -> Iterator[Case]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def file(raw: bytes = b'{"classes": ["a", "b"]}', **columns: Any) -> bytes:
        own = {"id": ["x", "y"], "label": [0, 1], "probabilities": [[0.5, 0.5], [0.1, 0.9]], **columns}
        table = pa.table({k: v for k, v in own.items() if v is not None}).replace_schema_metadata(
            {b"synaug.predictions": raw}
        )
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        return buffer.getvalue()

    made = {"empty": b"", "pickle": pickle.dumps(Trap())}
    for (
        n, raw,
    ) in enumerate((
        b"", b"[]", b"{}", b'{"classes": 3}', b'{"classes": "ab"}', b'{"classes": [[], []]}', b"[" * 90_000,
        b'{"classes": [{}, 1]}', b'{"classes": null}', b'{"classes": ["a"]}', b"\xff", b'{"classes": ["a", "b", "c"]}',
    )):  # fmt: skip
        made[f"facts-{n}"] = file(raw)
    value: Any
    for n, value in enumerate(
        (
            None,
            [[0.5], [0.5]],
            [[0.5, 0.5], None],
            [None, None],
            [["a", "b"]] * 2,
            [[float("nan")] * 2] * 2,
            [0.5, 0.5],
            [[9, -8]] * 2,
            [[]] * 2,
        )
    ):
        made[f"probabilities-{n}"] = file(probabilities=value)
    for n, value in enumerate((None, [5, 5], [-1, 0], [None, 1], ["a", "b"], [0.5, 1], [[0], [1]])):
        made[f"labels-{n}"] = file(label=value)
    for n, value in enumerate((None, ["x", "x"], [None, "x"], [1, 2], [["x"], ["y"]])):
        made[f"ids-{n}"] = file(id=value)
    for n in range(25):
        made[f"mutated-{n}"] = mutated(file(), rng)
    for name, data in made.items():
        yield Case("predictions", name, {"x.parquet": data})
