"""An .npz file of images: of MedMNIST with its official split, or of one undivided set."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from synaug_core.data import decode, report
from synaug_core.data.sources.base import ArrayImage, Item, Listing
from synaug_core.data.sources.split_names import SPLIT_NAMES
from synaug_core.errors import DataError

__all__ = ["list_npz"]

_SPLITS: tuple[report.Split, ...] = ("train", "val", "test")
_NAMES = ("class_names", "label_names")
_PARTS = ("images", "labels", "groups")
_MOST_BYTES = 64e9
"""What the arrays of one file may unpack to: more than any machine holds is a lie or a mistake."""


def list_npz(path: Path, limits: decode.Limits) -> Listing:
    """List the arrays `{train,val,test}_images` and `{train,val,test}_labels`, where val and test may be absent and
    have other names (`valid_images`); or `images` and `labels`.

    Images are uint8 of shape (n, h, w), (n, h, w, 1) or (n, h, w, 3), labels integers of shape (n, 1) or (n,).
    Arrays `{train,val,test}_groups` or `groups`, texts or integers, say what stays together. Classes are named after
    their labels, or by a text array `class_names` or `label_names`.

    Raises:
        DataError: not such a file.
    """
    arrays = _load(path)
    prefixes = _prefixes(path, arrays)
    images = {p: _images(path, p, arrays[f"{p}images"], limits) for p in prefixes}
    labels = {p: _labels(path, p, arrays.get(f"{p}labels"), len(images[p])) for p in prefixes}
    groups = {p: _groups(path, p, arrays.get(f"{p}groups"), len(images[p])) for p in prefixes}
    present = sorted({int(v) for values in labels.values() for v in np.unique(values)})
    names = _class_names(path, arrays, present)
    items = tuple(
        Item(f"{prefix.removesuffix('_') or 'images'}/{i}", names[int(label)], ArrayImage(pixels), split, group)
        for prefix, split in prefixes.items()
        for i, (pixels, label, group) in enumerate(zip(images[prefix], labels[prefix], groups[prefix], strict=True))
    )
    return Listing(path.name, items, tuple(names.values()))


def _prefixes(path: Path, arrays: Mapping[str, Any]) -> dict[str, report.Split | None]:
    """How the names of each set's arrays begin, and the split that this stands for; none is passed over.

    Raises:
        DataError: no training images, sets that are no split, or two of one split.
    """
    beginnings = [key.removesuffix("images") for key in arrays if key.casefold().endswith("images")]
    splits = {p: SPLIT_NAMES.get(p.removesuffix("_").casefold()) for p in beginnings if p.endswith("_")}
    if beginnings == [""]:
        return {"": None}
    if "train" not in splits.values():
        keys = ", ".join(sorted(arrays)) or "none"
        raise DataError(
            f"{path}: the arrays train_images and train_labels, or images and labels, are missing (found: {keys})"
        )
    if surplus := [p for p in beginnings if splits.get(p) is None]:
        raise DataError(
            f"{path}: {', '.join(f'{p}images' for p in surplus)} {'is' if len(surplus) == 1 else 'are'} of no split; "
            "name the arrays train_images, val_images and test_images, and leave others out"
        )
    if len(set(splits.values())) < len(splits):
        raise DataError(f"{path}: {', '.join(f'{p}images' for p in beginnings)} name a split twice")
    order = sorted(splits, key=lambda p: _SPLITS.index(splits[p] or "train"))
    return {p: splits[p] if len(splits) > 1 else None for p in order}


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        content = np.load(path, allow_pickle=False)
        if not isinstance(content, NpzFile):
            raise ValueError("it holds one array, not an archive of several")
        with content as archive:
            entries = archive.zip.infolist() if archive.zip else []
            if sum(entry.file_size for entry in entries) > _MOST_BYTES:
                raise ValueError("it unpacks to more than 64 GB")
            return {str(key): _array(archive, key) if _is_of_use(str(key)) else np.empty(0) for key in archive.files}
    except Exception as error:  # parsers of hostile bytes raise nearly anything
        words = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: cannot be read as an .npz file ({words or type(error).__name__})") from error


def _is_of_use(key: str) -> bool:
    prefix, _, part = key.rpartition("_")
    return key in _NAMES or (part in _PARTS and (not prefix or prefix.casefold() in SPLIT_NAMES))


def _array(archive: NpzFile, key: str) -> NDArray[Any]:
    array = archive[key]
    if not isinstance(array, np.ndarray):  # numpy returns the bytes of what is not an array
        raise ValueError(f"{key} is not an array")
    if array.size and not array.itemsize:  # so many that there is no memory for them, in a file of a few bytes
        raise ValueError(f"{key} has values of no size")
    if array.dtype.kind == "U":
        codes = np.frombuffer(array.tobytes(), dtype=np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if codes.size and codes.max() > sys.maxunicode:  # numpy reads it, and fails where it is made a text
            raise ValueError(f"{key} has what is no text")
    return array


def _images(path: Path, prefix: str, array: NDArray[Any], limits: decode.Limits) -> NDArray[np.uint8]:
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or not (array.ndim == 3 or (array.ndim == 4 and array.shape[-1] == 3)):
        raise DataError(
            f"{path}: {prefix}images must be uint8 of shape (n, h, w) or (n, h, w, 3), "
            f"and is {array.dtype} of shape {array.shape}"
        )
    if 0 in array.shape[1:3]:
        raise DataError(f"{path}: {prefix}images has images of {array.shape[1]} x {array.shape[2]} pixels")
    try:
        decode.check_size(array.shape[1], array.shape[2], limits)
    except decode.UnreadableError as error:
        raise DataError(f"{path}: {prefix}images has images of {error}") from error
    return array


def _labels(path: Path, prefix: str, array: NDArray[Any] | None, images: int) -> NDArray[np.int64]:
    if array is None:
        raise DataError(f"{path}: the array {prefix}labels is missing")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{path}: {prefix}labels has shape {array.shape}; one label for each image is needed")
    if array.dtype.kind not in "iu":
        raise DataError(f"{path}: {prefix}labels must be integers from 0 up, and is {array.dtype}")
    if array.size and (strange := [v for v in (int(array.min()), int(array.max())) if not 0 <= v < 2**63]):
        count = int(((array < 0) | (array > 2**63 - 1)).sum())
        raise DataError(
            f"{path}: {prefix}labels must be integers from 0 up, and has {strange[0]}, which is no class ({count} of "
            f"{array.size}): leave images without a label out"
        )
    if len(array) != images:
        raise DataError(f"{path}: {prefix}images has {images} images and {prefix}labels {len(array)} labels")
    return array.astype(np.int64)


def _groups(path: Path, prefix: str, array: NDArray[Any] | None, images: int) -> list[str | None]:
    if array is None:
        return [None] * images
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.shape != (images,) or flat.dtype.kind not in "Uiu":
        raise DataError(
            f"{path}: {prefix}groups must be one text or integer for each of {images} images, and is {array.dtype} of "
            f"shape {array.shape}"
        )
    return [str(value) for value in flat.tolist()]


def _class_names(path: Path, arrays: dict[str, NDArray[Any]], present: list[int]) -> dict[int, str]:
    key = next((k for k in _NAMES if k in arrays), None)
    if key is None:
        return {label: str(label) for label in present}
    class_names = arrays[key]
    if class_names.ndim != 1 or class_names.dtype.kind != "U" or len(set(class_names.tolist())) < len(class_names):
        raise DataError(f"{path}: {key} must be a list of distinct texts")
    if present and present[-1] >= len(class_names):
        raise DataError(f"{path}: label {present[-1]} has no name in {key}, which has {len(class_names)}")
    return {label: str(class_names[label]) for label in present}
