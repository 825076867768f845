"""Masks from files: which part of an image shows the object, as a person or another program has drawn it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from synaug_core import digests, errors
from synaug_core.data import decode
from synaug_core.data.scaling import Preprocessing

__all__ = ["fingerprint_masks", "read_masks"]


def fingerprint_masks(folder: Path) -> str:
    """SHA-256 in hex over the names and bytes of a folder's masks.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise errors.DataError(f"synthesis.paste.masks: there is no folder {folder}")
    files = sorted(path for path in folder.rglob("*.png") if path.is_file())
    return digests.of_value([[path.relative_to(folder).as_posix(), digests.of_file(path)] for path in files])


def read_masks(folder: Path, ids: Sequence[str], size: int, preprocessing: Preprocessing) -> dict[str, Tensor]:
    """The mask of each image, float32 (size, size), 1 where its file is white and 0 where it is black.

    A mask is cut, padded and resized as its image was, so that it is drawn on the image as it lies in its file.

    Args:
        folder: with `ID.png` for each image, where the image's own ending may be left out: `rare/7.png` or
            `rare/7.jpg.png` for `rare/7.jpg`.
        ids: of the images.
        size: pixels a side of the images.
        preprocessing: of the images.

    Raises:
        DataError: a mask is missing, cannot be read, or would lie outside the folder.
    """
    geometry = Preprocessing(fit=preprocessing.fit)
    masks = {}
    for name in ids:
        path = _mask_path(folder, name)
        try:
            pixels = decode.load_square(path.read_bytes(), size, 1, geometry)
        except (OSError, decode.UnreadableError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise errors.DataError(f"synthesis.paste.masks: {path} cannot be read ({reason})") from error
        masks[name] = torch.from_numpy(pixels[0].astype("float32") / 255)
    return masks


def _mask_path(folder: Path, name: str) -> Path:
    home = folder.resolve()
    for candidate in (folder / f"{name}.png", (folder / name).with_suffix(".png")):
        if candidate.is_file() and candidate.resolve().is_relative_to(home):
            return candidate
    raise errors.DataError(
        f"synthesis.paste.masks: there is no mask of {name!r}; it would be {(folder / name).with_suffix('.png')}"
    )
