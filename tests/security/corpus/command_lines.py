"""Hostile command lines."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator

from corpus.cases import Case, Trap


def sets(rng: random.Random) -> Iterator[Case]:
    texts = [
        "", "=", "==", "a", "a=", "=a", "seed", "seed=", "seed==1", "seed=[", "seed={", "seed=*a", "seed=&a 1",
        "seed=!!python/name:os.system", "seed=!!python/object/apply:os.system [touch TRAP]", "seed=" + "[" * 9000,
        "seed=" + "9" * 9999, "seed=nan", "seed=.nan", "seed=.inf", "seed=1e999", "seed=-1", "seed=true", "seed=null",
        "seed=1.5", ".=1", "..=1", ".seed=1", "seed.=1", "seed..x=1", "data=1", "data=null", "data=[]", "data={}",
        "data.=1", "data.source=", "data.source=null", "data.source=/dev/zero", "data.source=\x00",
        "data.source=../../..", "data.source=~nobodyatall", "data.source=http://127.0.0.1:1/",
        "data.source=file:///etc/passwd", "data.source=s3://key:secret@bucket/x", "data.source=[1]",
        "data.metadata=/dev/zero", "arms=1", "arms=[1]", "arms={}", "arms[0]=x", "arms[0].name=x", "arms[].name=x",
        "arms.0.name=x", "generators.*=1", "generators.x=1", "generators.x.steps=1e99", "generators.../..={}",
        "synthesis.counts.\x1b[2J=1", "synthesis.filters.x=1", "__class__=1", "data.__class__=1",
        "data.__init__.__globals__=1", "model_config=1", "data.model_fields=1", "name=../../x", "name=\n",
        "name=" + "a" * 9999, "name=$(touch TRAP)", "x" * 99_999 + "=1", "seed=1\nname=2", "seed=\ud800", "\ud800=1",
        "--set", "seed=--debug", "classifier.weights_file=/dev/zero", "classifier.weights_file=\x00",
        "classifier.backbone=hf-hub:a/b", "generator.kind=os.system", "classifier=\t", "seed=@", "seed=`", "seed=%",
        "seed=? a", "seed=- 1", "seed=<<: 1", "seed=# x", "seed=a: b: c", "generator.=",
    ]  # fmt: skip
    for n, text in enumerate(texts):
        yield Case("set", f"set-{n}", {}, (text,))


def commands(rng: random.Random) -> Iterator[Case]:
    lines = (
        (), ("nonsense",), ("run",), ("run", "nowhere"), ("run", "\x00"), ("run", "s3://key:verysecret@bucket/x"),
        ("run", "http://user:verysecret@host/x"), ("run", "x.yaml"), ("run", "digits", "--set", "seed=["),
        ("run", "digits", "--set", "seed"), ("run", "\x1b[31m"), ("run", "/dev/zero"), ("run", "~nobodyatall"),
        ("sweep", "x.yaml"), ("sweep", "nowhere"), ("sweep", "digits"), ("predict", "model", "x.png"),
        ("predict", ".", "/dev/zero"), ("predict", "model"), ("models", "nonsense"), ("export",), ("report",),
        ("watch", "nowhere"), ("run", "a" * 5000), ("run", "x.yaml", "--json", "/dev/full/x"), ("--version", "extra"),
        ("--nonsense",), ("run", "digits", "--set", "name=\x1b[2J"), ("run", "\u202eevil"),
    )  # fmt: skip
    files = {
        "x.yaml": b"!!python/object/apply:os.system ['touch TRAP']",
        "x.npz": pickle.dumps(Trap()),
        "x.parquet": b"PAR1",
        "model/spec.json": b"{}",
        "model/weights.safetensors": pickle.dumps(Trap()),
        "x.png": b"",
    }
    for n, line in enumerate(lines):
        yield Case("command", f"command-{n}", files, line)
