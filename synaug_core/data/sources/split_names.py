"""What the sides of a split are called in folders, files and tables."""

import re

from synaug_core.data import report
from synaug_core.names import words_of

__all__ = ["CONTENT_WORDS", "SPLIT_NAMES", "split_name"]

SPLIT_NAMES: dict[str, report.Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
CONTENT_WORDS = {
    *("data", "dataset", "set", "split", "part", "folder", "files", "samples", "raw", "original", "originals"),
    *("image", "images", "img", "imgs", "pictures", "photos", "jpg", "jpeg", "png", "tif", "tiff", "bmp", "webp"),
}
"""Words that say of a folder that it holds images, and not of what class."""
_JOINED = re.compile("^(train|val|test)(?:set|data|images|imgs)$")


def split_name(folder: str) -> report.Split | None:
    """The split that a folder's name stands for, as in `train`, `Test_Set`, `trainset` or `val_images`."""
    telling = [_JOINED.sub(r"\1", word) for word in words_of(folder) if word not in CONTENT_WORDS]
    return SPLIT_NAMES.get(telling[0]) if len(telling) == 1 else None
