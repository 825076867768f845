from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from synaug_core.config import DataConfig
from synaug_core.data.fingerprint import fingerprint
from synaug_core.errors import DataError


def test_depends_on_names_and_bytes_only(make_folder):
    one = make_folder({"cat": 2, "dog": 2}, name="one")
    two = make_folder({"cat": 2, "dog": 2}, name="two")
    before = fingerprint(DataConfig(source=str(one)))
    assert len(before) == 64
    os.utime(one / "cat" / "0.png", (0, 0))
    assert fingerprint(DataConfig(source=str(two), image_size=32)) == before
    (two / "cat" / "0.png").rename(two / "cat" / "9.png")
    renamed = fingerprint(DataConfig(source=str(two)))
    (one / "cat" / "0.png").write_bytes((one / "cat" / "1.png").read_bytes())
    changed = fingerprint(DataConfig(source=str(one)))
    assert len({before, renamed, changed}) == 3


def test_metadata_counts(make_folder):
    root = make_folder({"cat": 2, "dog": 2})
    (root / "m.csv").write_text("id,group\ncat/0.png,a\n")
    found = {fingerprint(DataConfig(source=str(root))), fingerprint(DataConfig(source=str(root), metadata="m.csv"))}
    (root / "m.csv").write_text("id,group\ncat/0.png,b\n")
    found.add(fingerprint(DataConfig(source=str(root), metadata="m.csv")))
    assert len(found) == 3


def test_links_and_pipes_are_not_read(make_folder, tmp_path):
    root = make_folder({"cat": 2, "dog": 2})
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"1")
    (root / "cat" / "link.png").symlink_to(outside)
    os.mkfifo(root / "cat" / "pipe.png")
    before = fingerprint(DataConfig(source=str(root)))
    outside.write_bytes(b"2")
    assert fingerprint(DataConfig(source=str(root))) == before


def test_npz_and_digits(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=np.zeros(3))
    first = fingerprint(DataConfig(source=str(tmp_path / "a.npz")))
    np.savez(tmp_path / "a.npz", train_images=np.ones(3))
    assert fingerprint(DataConfig(source=str(tmp_path / "a.npz"))) != first
    assert fingerprint(DataConfig()) == fingerprint(DataConfig(image_size=32))


def test_missing_source():
    with pytest.raises(DataError, match="there is no folder or file /none"):
        fingerprint(DataConfig(source="/none"))


def test_costs_no_heavy_import():
    code = "import sys, synaug_core.data.fingerprint; print({'torch', 'scipy', 'sklearn', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
