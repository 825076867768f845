"""Image sets in Parquet: our own layout, or any table with a column of image files' bytes and one of labels. One file,
or a folder of nothing but such files, one for each split."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synaug_core.data import decode, report
from synaug_core.data.sources import base, folder
from synaug_core.errors import DataError

__all__ = ["list_parquet"]

_SUFFIX = ".parquet"
_MOST_BYTES = 64e9
"""Pixels, or bytes, that one file may claim: more than any machine holds is a lie or a mistake."""
_IMAGE, _LABEL, _CLASS_NAME, _SPLIT = "image", "label", "class_name", "split"
_GROUPS = ("group", "groups")


def list_parquet(path: Path, limits: decode.Limits) -> base.Listing:
    """List the images of `path`. Splits and groups are the files' own; a split counts where there are several.

    A table that synaug did not write needs the columns `image` (bytes of an image file, or Hugging Face's bytes and
    path) and `label` (integers or texts) or `class_name`; `group` (or `groups`) and `split` are used where they stand.
    Classes keep the files' order where all have the same, and are sorted by name otherwise.

    Raises:
        DataError: a file is no such table, is damaged, claims too much, holds synthetic images, or has an image that
            another has too.
    """
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix.lower() == _SUFFIX)
    read = [(file, *_read(file, limits)) for file in files if not file.name.startswith(".")]
    several = len({item.split for _, items, _ in read for item in items}) > 1
    names: set[str] = set()
    for file, items, _ in read:
        for item in items:
            if item.id in names:
                raise DataError(f"{file.name}: the image {item.id!r} stands in {path.name} twice")
            names.add(item.id)
    all_items = tuple(
        item if several else base.Item(item.id, item.label, item.image, None, item.group)
        for _, items, _ in read
        for item in items
    )
    orders = {classes for _, _, classes in read}
    classes = orders.pop() if len(orders) == 1 else tuple(sorted({c for order in orders for c in order}))
    return base.Listing(path.name, all_items, classes)


def _read(file: Path, limits: decode.Limits) -> tuple[list[base.Item], tuple[str, ...]]:
    """A file's images with its splits where they are ours, and its classes in their order."""
    try:
        metadata = pq.read_metadata(file)
        facts = (metadata.metadata or {}).get(b"synaug")
        if facts is None:
            _check_size(metadata)
            return _foreign(file, limits)
        _check_claims(metadata, json.loads(facts), limits)
        from synaug_core.data import parquet  # loads torch, which other tables do not need

        images, texts = parquet.read_with_splits(file)
        has_synthetic = bool(images.is_synthetic().any())
    except Exception as error:  # parsers of hostile bytes raise nearly anything
        words = " ".join(str(error).split()).removeprefix(f"{file} ")[:200]
        raise DataError(f"{file}: cannot be read as a Parquet file of images ({words})") from error
    if has_synthetic:
        raise DataError(f"{file}: holds synthetic images, which cannot stand for real ones")
    items = []
    for n, (name, text) in enumerate(zip(images.ids, texts, strict=True)):
        pixels = images.images[n].numpy()
        plain_pixels = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
        label = images.classes[int(images.labels[n])]
        items.append(base.Item(name, label, base.ArrayImage(plain_pixels), _split(text), images.groups[n]))
    return items, images.classes


def _foreign(file: Path, limits: decode.Limits) -> tuple[list[base.Item], tuple[str, ...]]:
    """The images of a table that synaug did not write, and its classes: by `label` where that is a number, else by
    name."""
    schema = pq.read_schema(file)
    groups = next((name for name in _GROUPS if name in schema.names), None)
    columns = [name for name in (_IMAGE, _LABEL, _CLASS_NAME, _SPLIT, groups) if name in schema.names]
    if _IMAGE not in columns or not {_LABEL, _CLASS_NAME} & set(columns):
        raise ValueError(f"it needs the columns image and label; found: {', '.join(schema.names)[:120] or 'none'}")
    table = pq.read_table(file, columns=columns, memory_map=False)
    encoded = _bytes_of(table.column(_IMAGE))
    texts = {name: table.column(name).to_pylist() for name in columns if name != _IMAGE}
    if any(value is None for name, values in texts.items() if name not in (_SPLIT, groups) for value in values):
        raise ValueError("a label or class name is missing")
    numbers = texts.get(_LABEL, texts.get(_CLASS_NAME, []))
    if not all(isinstance(number, (int, str)) for number in numbers):
        raise ValueError("label must be whole numbers or texts")
    if count := sum(isinstance(number, int) and number < 0 for number in numbers):
        raise ValueError(f"label is negative, which is no class, {count} times: leave images without a label out")
    names = texts.get(_CLASS_NAME) or _class_labels(schema, numbers)
    name_of = dict(sorted(zip(numbers, names, strict=True), key=lambda pair: (isinstance(pair[0], str), pair[0])))
    if any(name_of[number] != name for number, name in zip(numbers, names, strict=True)):
        raise ValueError("one label has two class names")
    items = [
        base.Item(
            id=f"{file.stem}/{n}",
            label=str(names[n]),
            image=base.EncodedImage(data, limits),
            split=_split(texts[_SPLIT][n]) if _SPLIT in texts else None,
            group=None if groups is None or texts[groups][n] is None else str(texts[groups][n]),
        )
        for n, data in enumerate(encoded)
    ]
    return items, tuple(dict.fromkeys(str(name) for name in name_of.values()))


def _bytes_of(column: pa.ChunkedArray) -> list[bytes]:
    if pa.types.is_struct(column.type):
        column = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks])
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise ValueError(f"image must be the bytes of image files, and is {column.type}")
    return [data or b"" for data in column.to_pylist()]


def _class_labels(schema: pa.Schema, numbers: list[Any]) -> list[str]:
    """The names that Hugging Face's ClassLabel gives to the numbers, or the labels themselves."""
    facts = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    named = facts.get("info", {}).get("features", {}).get(_LABEL, {}).get("names")
    if named is None or any(isinstance(number, str) for number in numbers):
        return [str(number) for number in numbers]
    if numbers and not 0 <= min(numbers) <= max(numbers) < len(named):
        raise ValueError("a label has no name")
    return [str(named[number]) for number in numbers]


def _split(text: Any) -> report.Split | None:
    return folder.SPLIT_NAMES.get(text.casefold()) if isinstance(text, str) else None


def _check_size(metadata: pq.FileMetaData) -> None:
    """Refuse what unpacks to more than the memory before anything is."""
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if size > _MOST_BYTES:
        raise ValueError(f"it unpacks to {size / 1e9:.0f} GB")


def _check_claims(metadata: pq.FileMetaData, facts: Any, limits: decode.Limits) -> None:
    """Refuse sizes that would fill the memory before a pixel is read."""
    shape = [int(facts[key]) for key in ("channels", "height", "width")]
    if shape[0] not in (1, 3) or min(shape) < 1:
        raise ValueError(f"images of {shape[0]} channels, {shape[1]} x {shape[2]} pixels")
    decode.check_size(shape[1], shape[2], limits)
    if math.prod(shape) * metadata.num_rows > _MOST_BYTES:
        raise ValueError(f"{metadata.num_rows} images of {shape[1]} x {shape[2]} pixels are too large")
