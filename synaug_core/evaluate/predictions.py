"""What a classifier said about a set of images: all that any metric, interval or test is computed from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synaug_core import atomic_files, errors

__all__ = ["Predictions"]

_KEY = b"synaug.predictions"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Class probabilities of labelled images.

    Attributes:
        ids: n names of images, each once.
        labels: int64, shape (n,), indices into `classes`.
        probabilities: float32 or float64, shape (n, C), values in [0, 1], rows that sum to 1.
        classes: C >= 2 class names, each once; a class may have no image.

    Raises:
        ValueError: shapes, dtypes, lengths or values that do not agree.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[Any]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        n, classes = len(self.ids), len(self.classes)
        if classes < 2 or len(set(self.classes)) != classes:
            raise ValueError("classes: at least two distinct names expected")
        if len(set(self.ids)) != n:
            raise ValueError("ids: a name stands twice")
        if self.labels.dtype != np.int64 or self.labels.shape != (n,):
            raise ValueError(f"labels: int64 ({n},) expected, got {self.labels.dtype} {self.labels.shape}")
        if n and (self.labels.min() < 0 or self.labels.max() >= classes):
            raise ValueError("labels: an index is outside the classes")
        p = self.probabilities
        if p.dtype not in (np.float32, np.float64) or p.shape != (n, classes):
            raise ValueError(f"probabilities: float32 or float64 ({n}, {classes}) expected, got {p.dtype} {p.shape}")
        # `not all(...)` so that NaN is refused too
        if not np.all((p >= -1e-6) & (p <= 1 + 1e-6)) or not np.all(np.abs(p.sum(1, dtype=np.float64) - 1) < 1e-3):
            raise ValueError("probabilities: finite values in [0, 1] with rows that sum to 1 expected")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """int64 (n,): the class of highest probability, the first of equals."""
        return np.asarray(self.probabilities.argmax(1), np.int64)

    def in_order(self, ids: tuple[str, ...]) -> Predictions:
        """The same predictions for the images named, in that order.

        Raises:
            ValueError: an image that is not there.
        """
        place = {name: i for i, name in enumerate(self.ids)}
        if missing := next((name for name in ids if name not in place), None):
            raise ValueError(f"no prediction for image {missing}")
        rows = np.array([place[name] for name in ids], dtype=np.int64)
        return Predictions(ids, self.labels[rows], self.probabilities[rows], self.classes)

    def write(self, path: Path) -> None:
        """Write one Parquet file (columns id, label, probabilities), atomically; equal predictions give equal bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        flat = pa.array(np.ascontiguousarray(self.probabilities).reshape(-1))
        table = pa.table(
            {
                "id": pa.array(self.ids, pa.string()),
                "label": pa.array(self.labels),
                "probabilities": pa.FixedSizeListArray.from_arrays(flat, len(self.classes)),
            }
        ).replace_schema_metadata({_KEY: json.dumps({"classes": self.classes}).encode()})
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.atomic_write(path) as partial:
            pq.write_table(table, partial, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read what `write` wrote.

        Raises:
            ArtifactError: the file is missing, damaged, or something else.
        """
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            classes = tuple(json.loads((table.schema.metadata or {})[_KEY])["classes"])
            column = table.column("probabilities").combine_chunks()
            return cls(
                ids=tuple(table.column("id").to_pylist()),
                labels=table.column("label").to_numpy().astype(np.int64),
                probabilities=column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), len(classes)),
                classes=classes,
            )
        except Exception as error:  # parsers of hostile bytes raise nearly anything
            words = " ".join(str(error).split())[:200]
            raise errors.ArtifactError(f"{path.name}: not a readable file of predictions ({words})") from error
