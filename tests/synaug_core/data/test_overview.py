from __future__ import annotations

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from synaug_core.config import DataConfig
from synaug_core.data.overview import take_overview
from synaug_core.data.prepare import prepare
from synaug_core.errors import DataError


def overview_of(root, **options):
    found = take_overview(DataConfig(source=str(root), **options))
    assert found is not None
    return found


def test_what_a_user_wants_to_know_first(make_folder):
    root = make_folder({"cat": 30, "dog": 12, "newt": 9}, height=30, width=24)
    found = overview_of(root)
    assert (found.kind, found.classes, found.rarest) == ("folder", {"cat": 30, "dog": 12, "newt": 9}, "newt")
    assert (found.heights, found.widths, found.colour, found.inspected) == ((30, 30, 30), (24, 24, 24), True, 51)
    assert not found.findings
    text = "\n".join(found.lines())
    assert "51 images in 3 classes" in text
    assert re.search(r"newt +9 +about 6 to train on  <- the rarest", text)
    assert "24 to 30 px a side" in text


@pytest.mark.parametrize(
    "options", [{}, {"per_class": 7}, {"long_tail": 3.0}, {"split": {"draws": True}, "per_class": 6}]
)
def test_the_division_is_the_one_that_a_run_makes_of_images_that_are_all_unlike(make_folder, options):
    root = make_folder({"cat": 30, "dog": 24, "newt": 22})
    config = DataConfig(source=str(root), duplicates={"related": "apart", "distance": -1}, **options)
    found = take_overview(config)
    if config.split.draws:
        assert found.training == {"cat": 6, "dog": 6, "newt": 6}
        return
    counts = prepare(config, seed=0).report.counts
    assert found.training == counts["train"]
    assert found.sides == {side: sum(of_class.values()) for side, of_class in counts.items()}


def test_what_a_run_would_refuse_is_refused_with_the_words_to_type(make_folder, tmp_path):
    root = make_folder({"cat": 12, "dog": 12, "newt": 2})
    with pytest.raises(DataError, match=r"'newt' has 2 images; .* --set data.small_classes=drop"):
        overview_of(root)
    dropped = overview_of(root, small_classes="drop")
    assert set(dropped.training) == {"cat", "dog"}
    assert re.search(r"newt +2 +left out: too few", "\n".join(dropped.lines()))
    with pytest.raises(DataError, match="no class 'dgo'; there are cat, dog, newt; is dog meant"):
        overview_of(root, classes=["cat", "dgo"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no images"):
        overview_of(tmp_path / "empty")


def test_what_a_run_may_refuse_is_a_warning(make_folder):
    [warning] = overview_of(make_folder({"cat": 12, "newt": 6})).warnings
    assert warning.startswith("fewer than 5 training images, which the run will probably refuse: 'newt' (about 3 of 6")
    assert "--set data.small_classes=drop" in warning


def test_files_that_are_no_images_count_against_the_limit(make_folder):
    root = make_folder({"cat": 12, "dog": 12})
    (root / "cat" / "notes.png").write_bytes(b"not an image")
    assert "1 file cannot be used: 1 x not a JPEG" in overview_of(root).findings[0]
    (root / "cat" / "more.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 26 files .*data.max_rejected"):
        overview_of(root)


def test_equal_files_and_their_labels_are_counted_by_kind(make_folder):
    root = make_folder({"cat": 12, "dog": 12})
    shutil.copy(root / "cat" / "0.png", root / "cat" / "copy.png")
    shutil.copy(root / "cat" / "1.png", root / "dog" / "cat.png")
    findings = overview_of(root).findings
    assert findings[0] == "4 images are equal to another, byte for byte, in 2 groups."
    assert findings[1].startswith("1 group of equal images have different labels, such as cat/1.png (cat) and dog/cat")
    assert findings[2] == "2 images will be left out: equal to an image with another label."


def test_a_look_ends_when_its_time_is_over(make_folder):
    root = make_folder({"cat": 150, "dog": 30})
    found = take_overview(DataConfig(source=str(root)), seconds=0.0)
    assert (found.images, found.inspected) == (180, 128)
    assert "looked at 128 of 180 images" in "\n".join(found.lines())


def test_what_is_elsewhere_is_not_looked_at():
    assert take_overview(DataConfig(source="s3://bucket/images")) is None


def test_a_look_loads_no_heavy_library(make_folder, root, tmp_path):
    folder = make_folder({"cat": 9, "dog": 9})
    np.savez(tmp_path / "x.npz", images=np.zeros((20, 20, 20), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None],
             labels=np.arange(20) % 2)  # fmt: skip
    code = (
        "import sys; from synaug.cli.preview import preview; from synaug_core.config.load import load\n"
        "for source in sys.argv[1:]: preview(load(source))\n"
        "print(*sorted({'torch', 'sklearn', 'mlflow', 'prefect', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "x.npz")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr
