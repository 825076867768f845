"""One Parquet file for each set of images, in the layout that Hugging Face `datasets` reads as an image column."""

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from synaug_core import atomic_files, errors
from synaug_core.data import imageset, png

__all__ = ["read", "read_with_splits", "write"]

_ROWS = 512
"""Images in a row group: what a reader has to hold at least."""
_TEXTS = ("id", "split", "group", "provenance")


def write(images: imageset.ImageSet, path: Path, *, split: str) -> None:
    """Write a set, replacing `path` atomically. Pixels are stored as PNG, without loss; equal sets give equal bytes.

    Columns: image {bytes, path}, label (HF ClassLabel), id, split, group, provenance.
    """
    schema = _schema(images)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_files.atomic_write(path) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=["split", "group"]) as writer,
        _pool() as pool,
    ):
        for start in range(0, len(images), _ROWS):
            writer.write_table(_table(images, start, min(start + _ROWS, len(images)), split, schema, pool))


def read(path: Path) -> imageset.ImageSet:
    """Read what `write` wrote, exactly.

    Raises:
        ArtifactError: no such file, not one of ours, or damaged.
    """
    return read_with_splits(path)[0]


def read_with_splits(path: Path) -> tuple[imageset.ImageSet, tuple[str, ...]]:
    """The set as `read` gives it, and each image's split as it stands in the file. Raises as `read`."""
    try:
        table = pq.read_table(path, memory_map=False)
        facts = json.loads(table.schema.metadata[b"synaug"])
        shape = (int(facts["channels"]), int(facts["height"]), int(facts["width"]))
        encoded = [cell for chunk in table.column("image").chunks for cell in chunk.field("bytes")]
        pixels = np.empty((len(table), *shape), dtype=np.uint8)
        with _pool() as pool:
            for i, decoded in enumerate(pool.map(lambda cell: _decoded(cell.as_py(), shape), encoded)):
                pixels[i] = decoded
        texts = {name: tuple(table.column(name).to_pylist()) for name in _TEXTS}
        if any(not isinstance(text, str) for column in texts.values() for text in column):
            raise ValueError("a text is missing")
        images = imageset.ImageSet(
            images=torch.from_numpy(pixels),
            labels=torch.from_numpy(table.column("label").to_numpy().astype(np.int64)),
            classes=tuple(str(c) for c in facts["classes"]),
            ids=texts["id"],
            groups=texts["group"],
            provenance=texts["provenance"],
        )
        return images, texts["split"]
    except Exception as error:  # parsers of hostile bytes raise nearly anything
        words = " ".join(str(error).split())[:200]
        raise errors.ArtifactError(f"{path} is not an image set of synaug, or is damaged ({words})") from error


def _schema(images: imageset.ImageSet) -> pa.Schema:
    text = {"dtype": "string", "_type": "Value"}
    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(images.classes), "_type": "ClassLabel"},
        **dict.fromkeys(_TEXTS, text),
    }
    facts = {
        "classes": list(images.classes),
        "channels": images.channels,
        "height": images.images.shape[2],
        "width": images.images.shape[3],
    }
    fields = [
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("label", pa.int64()),
        *(pa.field(name, pa.string()) for name in _TEXTS),
    ]
    return pa.schema(
        fields,
        metadata={"huggingface": json.dumps({"info": {"features": features}}), "synaug": json.dumps(facts)},
    )


def _table(
    images: imageset.ImageSet, start: int, stop: int, split: str, schema: pa.Schema, pool: ThreadPoolExecutor
) -> pa.Table:
    block = images.images[start:stop].cpu().numpy()
    encoded = list(pool.map(png.of_pixels, block))
    pictures = [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(encoded, start=start)]
    columns = [
        pictures,
        images.labels[start:stop].tolist(),
        list(images.ids[start:stop]),
        [split] * (stop - start),
        list(images.groups[start:stop]),
        list(images.provenance[start:stop]),
    ]
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _decoded(data: Any, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    if not isinstance(data, bytes):
        raise ValueError("an image is missing")
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    if (len(image.getbands()), image.height, image.width) != shape or image.mode not in ("L", "RGB"):
        raise ValueError(f"an image is {image.mode} of {image.height} x {image.width}, not {shape}")
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="png")
