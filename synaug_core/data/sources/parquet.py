"""Image sets in Parquet: our own layout, or any table with a column of image files' bytes and one of labels. One file,
a folder of nothing but such files, or one of folders of them."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synaug_core.data import decode, report
from synaug_core.data.sources import base
from synaug_core.data.sources.labels import ROLES
from synaug_core.data.sources.split_names import SPLIT_NAMES, split_name
from synaug_core.errors import DataError

__all__ = ["list_parquet"]

_SUFFIX = ".parquet"
_MOST_BYTES = 64e9
"""Pixels, or bytes, that one file may claim: more than any machine holds is a lie or a mistake."""
_IMAGE, _LABEL, _CLASS_NAME, _SPLIT = "image", "label", "class_name", "split"
_SHARD = re.compile(r"^([a-z]+)(?:-\d+-of-\d+)?$", re.IGNORECASE)
"""Names of files in the repositories of Hugging Face's hub: `train-00000-of-00002`."""


def list_parquet(path: Path, limits: decode.Limits) -> base.Listing:
    """List the images of `path`. Splits and groups are the files' own; a split counts where there are several.

    A table that synaug did not write needs one column of images (bytes of image files, or Hugging Face's bytes and
    path; a path leads to a file beside the table) and one of classes: those that its metadata name as such, else
    `image` and `label` (integers or texts) or `class_name`, or the only ones that can be meant. A column of groups and
    `split` are used where they stand; without `split`, the files' names say it (`train-00000-of-00002.parquet`).
    Classes keep the files' order where all have the same, and are sorted by name otherwise.

    Raises:
        DataError: a file is no such table, is damaged, claims too much, holds synthetic images, or has an image that
            another has too.
    """
    files = [path] if path.is_file() else _files(path)
    read = [(file, *_read(file, limits)) for file in files]
    if all(item.split is None for _, items, _ in read for item in items):
        read = _with_splits_of_files(read)
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


def _files(folder: Path) -> list[Path]:
    """The Parquet files of a folder, or else of its one folder, or of its folders that are named after splits.

    Raises:
        DataError: it has several others.
    """
    visible = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    if files := [p for p in visible if p.suffix.lower() == _SUFFIX]:
        return files
    folders = [p for p in visible if p.is_dir()]
    if len(folders) > 1 and not all(split_name(p.name) for p in folders):
        named = ", ".join(p.name for p in folders[:4])
        raise DataError(f"data.source: {folder} has several data sets ({named}); give one, such as {folders[0]}")
    return [file for one in folders for file in sorted(one.iterdir()) if file.suffix.lower() == _SUFFIX]


_Read = tuple[Path, list[base.Item], tuple[str, ...]]


def _with_splits_of_files(read: list[_Read]) -> list[_Read]:
    """With the splits that the names of all files, or of their folders, say; as they are where one says none."""

    def split_of(file: Path) -> report.Split | None:
        shard = _SHARD.match(file.stem)
        return SPLIT_NAMES.get(shard[1].casefold() if shard else "") or split_name(file.parent.name)

    splits = [split_of(file) for file, _, _ in read]
    if None in splits:
        return read
    return [
        (file, [replace(item, split=split) for item in items], classes)
        for (file, items, classes), split in zip(read, splits, strict=True)
    ]


def _foreign(file: Path, limits: decode.Limits) -> tuple[list[base.Item], tuple[str, ...]]:
    """The images of a table that synaug did not write, and its classes: by the label where that is a number, else by
    name."""
    schema = pq.read_schema(file)
    features = _features(schema)
    image, label, name = _image_column(schema, features), _label_column(schema, features), None
    if label is not None and label != _CLASS_NAME and _CLASS_NAME in schema.names and label not in features:
        name = _CLASS_NAME
    if image is None or label is None:
        raise ValueError(f"it needs the columns image and label; found: {', '.join(schema.names)[:120] or 'none'}")
    groups = next((n for n in ROLES["group"] if n in schema.names and n not in (image, label)), None)
    columns = [c for c in dict.fromkeys((image, label, name, _SPLIT, groups)) if c in schema.names]
    table = pq.read_table(file, columns=columns, memory_map=False)
    stored = _stored(table.column(image), file.parent, limits)
    texts = {column: table.column(column).to_pylist() for column in columns if column != image}
    if any(value is None for column, values in texts.items() if column not in (_SPLIT, groups) for value in values):
        raise ValueError("a label or class name is missing")
    numbers = texts[label]
    if not all(isinstance(number, (int, str)) for number in numbers):
        raise ValueError(f"{label} must be whole numbers or texts")
    if count := sum(isinstance(number, int) and number < 0 for number in numbers):
        raise ValueError(f"{label} is negative, which is no class, {count} times: leave images without a label out")
    names = texts[name] if name is not None else _class_labels(features.get(label, {}), numbers)
    name_of = dict(sorted(zip(numbers, names, strict=True), key=lambda pair: (isinstance(pair[0], str), pair[0])))
    if any(name_of[number] != one for number, one in zip(numbers, names, strict=True)):
        raise ValueError("one label has two class names")
    items = [
        base.Item(
            id=f"{file.stem}/{n}",
            label=str(names[n]),
            image=one,
            split=_split(texts[_SPLIT][n]) if _SPLIT in texts else None,
            group=None if groups is None or texts[groups][n] is None else str(texts[groups][n]),
        )
        for n, one in enumerate(stored)
    ]
    return items, tuple(dict.fromkeys(str(one) for one in name_of.values()))


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What the metadata of Hugging Face say of each column."""
    facts = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = facts.get("info", {}).get("features", {})
    return {n: one for n, one in features.items() if isinstance(one, dict)} if isinstance(features, dict) else {}


def _image_column(schema: pa.Schema, features: dict[str, Any]) -> str | None:
    """The column of images: the one that is declared as such, the one of that name, or the only one of bytes."""
    declared = [n for n in schema.names if features.get(n, {}).get("_type") == "Image"]
    if _IMAGE in schema.names and (not declared or _IMAGE in declared):
        return _IMAGE
    holding = declared or [n for n, kind in zip(schema.names, schema.types, strict=True) if _holds_bytes(kind)]
    if len(holding) > 1:
        raise ValueError(f"{' and '.join(holding)} may each be the images; name the right one image")
    return holding[0] if holding else None


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(n).name == "bytes" for n in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _label_column(schema: pa.Schema, features: dict[str, Any]) -> str | None:
    """The column of classes: of that name, the one that is declared as such, or the only one with a usual name."""
    declared = [n for n in schema.names if features.get(n, {}).get("_type") == "ClassLabel"]
    if _LABEL in schema.names and (not declared or _LABEL in declared):
        return _LABEL
    usual = declared or [n for n in schema.names if n == _CLASS_NAME] or [n for n in schema.names if n in ROLES[_LABEL]]
    if len(usual) > 1:
        raise ValueError(f"{' and '.join(usual)} may each be the class; name the right one label")
    return usual[0] if usual else None


def _stored(column: pa.ChunkedArray, home: Path, limits: decode.Limits) -> list[base.StoredImage]:
    """Images in bytes; of those with nothing but a path, the files below `home`."""
    paths: list[Any] = []
    if pa.types.is_struct(column.type):
        if any(column.type.field(n).name == "path" for n in range(column.type.num_fields)):
            paths = pa.chunked_array([chunk.field("path") for chunk in column.chunks]).to_pylist()
        column = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks])
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type) or pa.types.is_null(column.type)):
        raise ValueError(f"image must be the bytes of image files, and is {column.type}")
    data = column.to_pylist()
    return [
        base.EncodedImage(one, limits) if one or not paths or not paths[n] else _beside(home, str(paths[n]), limits)
        for n, one in enumerate(value or b"" for value in data)
    ]


def _beside(home: Path, name: str, limits: decode.Limits) -> base.StoredImage:
    try:
        target = (home / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return base.RefusedImage("its bytes are not in the table, and its file is not beside it")
    if not target.is_relative_to(home.resolve()) or not target.is_file():
        return base.RefusedImage("its bytes are not in the table, and its path leaves the table's folder")
    return base.FileImage(target, limits)


def _class_labels(feature: dict[str, Any], numbers: list[Any]) -> list[str]:
    """The names that Hugging Face's ClassLabel gives to the numbers, or the labels themselves."""
    named = feature.get("names")
    if named is None or any(isinstance(number, str) for number in numbers):
        return [str(number) for number in numbers]
    if numbers and not 0 <= min(numbers) <= max(numbers) < len(named):
        raise ValueError("a label has no name")
    return [str(named[number]) for number in numbers]


def _split(text: Any) -> report.Split | None:
    return SPLIT_NAMES.get(text.casefold()) if isinstance(text, str) else None


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
