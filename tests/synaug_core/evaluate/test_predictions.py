from dataclasses import replace

import numpy as np
import pytest

from synaug_core.errors import ArtifactError
from synaug_core.evaluate.predictions import Predictions


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_written_is_read_again(made, tmp_path, dtype):
    p = made((3, 5, 2))
    p = replace(p, probabilities=p.probabilities.astype(dtype))
    p.write(tmp_path / "deep" / "p.parquet")
    q = Predictions.read(tmp_path / "deep" / "p.parquet")
    assert (q.ids, q.classes) == (p.ids, p.classes)
    assert q.labels.dtype == np.int64
    assert q.probabilities.dtype == dtype
    np.testing.assert_array_equal(q.labels, p.labels)
    np.testing.assert_array_equal(q.probabilities, p.probabilities)


def test_equal_predictions_give_equal_bytes_and_leave_nothing_behind(made, tmp_path):
    for name in ("a.parquet", "b.parquet"):
        made((3, 5)).write(tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_no_image_is_a_set_of_predictions_too(tmp_path):
    p = Predictions((), np.zeros(0, np.int64), np.zeros((0, 2)), ("a", "b"))
    p.write(tmp_path / "p.parquet")
    assert len(Predictions.read(tmp_path / "p.parquet")) == 0


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "foreign", "lying"])
def test_damaged_files_are_refused(made, tmp_path, damage):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "p.parquet"
    made((30, 50)).write(path)
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("id,label")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "foreign":
        pq.write_table(pa.table({"id": ["a"], "label": [0]}), path)
    else:
        table = pq.read_table(path)
        pq.write_table(table.set_column(1, "label", pa.array([7] * len(table))), path)
    with pytest.raises(ArtifactError, match=r"p\.parquet"):
        Predictions.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ("a", "a")}, "stands twice"),
        ({"ids": ("a",)}, "labels: int64"),
        ({"labels": np.array([0, 1], np.int32)}, "labels: int64"),
        ({"labels": np.array([0, 2])}, "outside"),
        ({"labels": np.array([-1, 0])}, "outside"),
        ({"probabilities": np.array([[1, 0], [0, 1]])}, "float32 or float64"),
        ({"probabilities": np.array([[1.0], [1.0]])}, "float32 or float64"),
        ({"probabilities": np.array([[0.5, np.nan], [0.0, 1.0]])}, "finite"),
        ({"probabilities": np.array([[0.5, 0.4], [0.0, 1.0]])}, "sum to 1"),
        ({"probabilities": np.array([[1.5, -0.5], [0.0, 1.0]])}, "finite"),
        ({"classes": ("a", "a")}, "distinct"),
        ({"classes": ("a",)}, "two distinct"),
    ],
)
def test_what_does_not_agree_is_refused(change, message):
    good = Predictions(("a", "b"), np.array([0, 1]), np.array([[1.0, 0.0], [0.3, 0.7]]), ("x", "y"))
    with pytest.raises(ValueError, match=message):
        replace(good, **change)


def test_in_order(made):
    p = made((2, 2))
    q = p.in_order(p.ids[::-1])
    np.testing.assert_array_equal(q.labels, p.labels[::-1])
    np.testing.assert_array_equal(q.probabilities, p.probabilities[::-1])
    with pytest.raises(ValueError, match="no prediction for image nobody"):
        p.in_order(("nobody",))
