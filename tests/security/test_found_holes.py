"""What hostile inputs once brought to a traceback, a wait or a page of text: each is one short line now."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synaug.cli import failures
from synaug_core.checkpoints import Checkpoint
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.config.load import load
from synaug_core.data import parquet
from synaug_core.data.decode import Limits
from synaug_core.data.sources.npz import list_npz
from synaug_core.errors import ArtifactError, ConfigError, DataError
from synaug_core.evaluate.predictions import Predictions
from synaug_core.generators import storage
from synaug_core.generators.base import Generator
from synaug_core.generators.gan import ConditionalGAN
from synaug_core.generators.storage import build_module
from synaug_core.quality.judge import Judges


def _npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


@pytest.mark.parametrize(
    "header", [b"{'descr': ", b"(((", b"\\", b"{'descr': '|u1', 'fortran_order': False, 'shape': (True, 16, 16)}"]
)
def test_a_damaged_array_header_is_told(tmp_path: Path, header: bytes) -> None:
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with pytest.raises(DataError, match=r"cannot be read as an \.npz file"):
        list_npz(_npz(tmp_path / "x.npz", train_images=data), Limits())


def test_an_archive_of_something_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train_images is not an array"):
        list_npz(_npz(tmp_path / "x.npz", train_images=b"hello"), Limits())
    np.save(tmp_path / "y.npy", np.zeros(3))
    with pytest.raises(DataError, match="one array, not an archive"):
        list_npz((tmp_path / "y.npy").rename(tmp_path / "y.npz"), Limits())


def test_an_archive_that_claims_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((4, 16, 16), np.uint8))
    path = _npz(tmp_path / "x.npz", train_images=buffer.getvalue())
    monkeypatch.setattr("synaug_core.data.sources.npz._MOST_BYTES", 100)
    with pytest.raises(DataError, match="unpacks to more than"):
        list_npz(path, Limits())


@pytest.mark.parametrize("flag", ["encrypted", "method"])
def test_an_archive_that_cannot_be_unpacked_is_told(tmp_path: Path, flag: str) -> None:
    path = _npz(tmp_path / "x.npz", train_images=b"x" * 99)
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark) + place + (2 if flag == "method" else 0)
        data[at] = 77 if flag == "method" else 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"cannot be read as an \.npz file"):
        list_npz(path, Limits())


@pytest.mark.parametrize("text", ["seed: !!bool maybe", "seed: !!int ''", "!!map [a]", "!!omap [a]"])
def test_yaml_values_that_are_not_what_they_say_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load(str(tmp_path / "x.yaml"))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("value", ["a\0b", "~nobodyatall/x", "a" * 5000])
@pytest.mark.parametrize("key", ["data.source", "data.metadata", "classifier.weights_file"])
def test_a_text_that_cannot_be_a_path_is_told(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key) as error:
        load("digits", [f"{key}={json.dumps(value)}"])
    assert len(str(error.value)) < 400


def test_a_source_that_cannot_be_a_path_is_told() -> None:
    with pytest.raises(ConfigError, match="cannot be a path"):
        load("a\0b")


def test_long_keys_and_values_are_shown_short() -> None:
    for text in ("x" * 100_000 + "=1", "seed=" + "[" * 9000):
        with pytest.raises(ConfigError) as error:
            load("digits", [text])
        assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    "facts",
    [b"[" * 100_000, json.dumps({"classes": ["a", "b"], "channels": 10**12, "height": 16, "width": 16}).encode()],
)
def test_a_stored_image_set_that_lies_is_told(tmp_path: Path, facts: bytes) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "image": [{"bytes": b"", "path": ""}],
        "label": [0],
        **{c: ["x"] for c in ("id", "split", "group", "provenance")},
    }
    for key, read in ((b"synaug", parquet.read), (b"synaug.predictions", Predictions.read)):
        pq.write_table(pa.table(columns).replace_schema_metadata({key: facts}), tmp_path / "x.parquet")
        with pytest.raises(ArtifactError):
            read(tmp_path / "x.parquet")


_SPEC = {"config": {"kind": "gan"}, "classes": ["a", "b"], "channels": 1, "size": 16, "reports": {}}


@pytest.mark.parametrize(
    "change",
    [{"config": None}, {"classes": 3}, {"channels": -1}, {"size": 10**12}, {"reports": {"a": {}}}, {"classes": []}],
)
def test_a_stored_generator_s_spec_is_checked(change: dict[str, Any]) -> None:
    assert isinstance(ConditionalGAN._from_spec(_SPEC, "cpu"), Generator)
    with pytest.raises(ArtifactError, match="spec cannot be read"):
        ConditionalGAN._from_spec(_SPEC | change, "cpu")
    with pytest.raises(ArtifactError, match="spec cannot be read"):
        ConditionalGAN._from_spec({k: v for k, v in _SPEC.items() if k not in change}, "cpu")


def test_a_network_that_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        build_module(lambda: torch.nn.Linear(-1, 3), {}, torch.device("cpu"))
    (tmp_path / "spec.json").write_text("[" * 100_000)
    with pytest.raises(ArtifactError, match="holds no generator"):
        storage.read_kind(tmp_path)


@pytest.mark.parametrize("data", [pickle.dumps([1]), b"hello", b"", pickle.dumps(Path)])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_checkpoint_that_is_none_counts_as_absent(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(data)
    assert Checkpoint(tmp_path / "x.pt").load() is None
    torch.save([1, 2], tmp_path / "x.pt")
    assert Checkpoint(tmp_path / "x.pt").load() is None


def test_judges_of_folds_that_there_are_not_are_told(tmp_path: Path) -> None:
    spec = {
        "kind": "synaug judges 1",
        "classes": ["a"],
        "folds": 2,
        "fold_of": {},
        "members": [{"left_out": list(range(5000)), "unseen": []}],
    }
    (tmp_path / "judges.json").write_text(json.dumps(spec))
    with pytest.raises(ArtifactError, match="folds that there are not"):
        Judges.load(tmp_path)


def test_a_classifier_of_impossible_size_is_told(tmp_path: Path) -> None:
    history = {"evaluations": [], "best_step": 0, "stopped_at": 0, "ended": "all steps"}
    spec = {"config": {}, "classes": ["a", "b"], "channels": 10**12, "size": 16, "history": history, "weights": ""}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(ArtifactError, match="no readable classifier"):
        TrainedClassifier.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 😀 👩‍👩‍👧", "plain é 😀 👩‍👩‍👧"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\u202eb", r"a\u202eb"),
        ("a\nb\r", r"a\nb\r"),
        ("\x9b1m", r"\x9b1m"),
        ("\udcff", r"\udcff"),
    ],
)
def test_nothing_that_is_shown_steers_the_terminal(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    failures.print_error(text)
    assert capsys.readouterr().err == f"synaug: {shown}\n"
