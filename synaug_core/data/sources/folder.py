"""A folder of class folders, with or without train, val and test folders above them."""

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from synaug_core.data import decode, report
from synaug_core.data.sources.base import FileImage, Item, Listing, RefusedImage, StoredImage
from synaug_core.errors import DataError

__all__ = ["SPLIT_NAMES", "list_folder", "walk"]

SPLIT_NAMES: dict[str, report.Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif"}
_LITTER = {"__macosx", "thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Entry:
    """A file, or a folder that is empty or not entered, by its path below the root."""

    parts: tuple[str, ...]
    path: Path
    is_folder: bool = False

    @property
    def id(self) -> str:
        return "/".join(self.parts)

    @property
    def looks_like_image(self) -> bool:
        return not self.is_folder and PurePosixPath(self.parts[-1]).suffix.lower() in _SUFFIXES


def walk(root: Path) -> Iterator[Entry]:
    """Every file and every folder below `root`, sorted by path; hidden ones left out, links to folders not entered."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not _hidden(f))
        parts = Path(folder).relative_to(root).parts
        for name in folders:
            yield Entry((*parts, name), Path(folder, name), is_folder=True)
        for name in sorted(f for f in files if not _hidden(f)):
            yield Entry((*parts, name), Path(folder, name))


def list_folder(root: Path, limits: decode.Limits, skip: Path | None = None) -> Listing:
    """List a folder. A class is the first folder name below the root or below a split folder.

    Images in deeper folders belong to the class above them. Files of other kinds outside the class folders are
    ignored, within them they are rejected when read.

    Raises:
        DataError: no image, no class folders, or a layout that can be read in two ways.
    """
    entries = [e for e in walk(root) if skip is None or e.path.resolve() != skip]
    if not any(not e.is_folder for e in entries):
        raise DataError(f"data.source: {root} has no images")
    splits = _split_folders(root, entries)
    depth = 1 if splits else 0
    home = root.resolve()
    items: list[Item] = []
    rejections: list[report.Rejected] = []
    classes: set[str] = set()
    names: set[str] = set()
    for entry in entries:
        split = splits.get(entry.parts[0]) if splits else None
        if splits and split is None:
            continue
        if entry.is_folder:
            if len(entry.parts) == depth + 1:
                classes.add(_text(entry.parts[depth]))
            if not entry.path.is_symlink():
                continue
        if len(entry.parts) < depth + 2 and not entry.is_folder:
            if entry.looks_like_image:
                rejections.append(report.Rejected(path=_text(entry.id), reason="lies outside the class folders"))
            continue
        name = _text(entry.id)
        if name in names:
            rejections.append(
                report.Rejected(
                    path=name, reason="another file has the same name, but for how its accents are encoded (Unicode)"
                )
            )
            continue
        names.add(name)
        items.append(Item(name, _text(entry.parts[depth]), _stored(entry, home, limits), split))
    if not classes:
        raise DataError(
            f"data.source: {root} has {len(rejections)} images but no class folders; "
            "put the images of each class into a folder named after the class"
        )
    if len(classes) == 1:
        _explain_one_class(root, entries, depth, next(iter(classes)))
    return Listing(root.resolve().name, tuple(items), tuple(sorted(classes)), tuple(rejections))


def _split_folders(root: Path, entries: list[Entry]) -> dict[str, report.Split]:
    """Top folders that stand for splits, or nothing where all of them are classes.

    A folder named "train" with images directly in it is a class (of vehicles, say).
    """
    tops = {e.parts[0] for e in entries if e.is_folder}
    split_by_folder = {t: SPLIT_NAMES[t.casefold()] for t in sorted(tops) if t.casefold() in SPLIT_NAMES}
    direct = {e.parts[0] for e in entries if len(e.parts) == 2 and e.looks_like_image}
    if not split_by_folder or set(split_by_folder) & direct:
        return {}
    if link := next((t for t in split_by_folder if (root / t).is_symlink()), None):
        raise DataError(f"data.source: {root / link} is a link to a folder, which is not followed; put a copy there")
    extra = sorted({e.parts[0] for e in entries if e.looks_like_image and len(e.parts) > 1} - set(split_by_folder))
    if extra:
        raise DataError(
            f"data.source: {root} has split folders ({', '.join(split_by_folder)}) beside others "
            f"({', '.join(extra[:5])}); keep only train, val and test there, or only class folders"
        )
    if "train" not in split_by_folder.values():
        raise DataError(f"data.source: {root} has {', '.join(split_by_folder)} but no train folder")
    return split_by_folder


def _stored(entry: Entry, home: Path, limits: decode.Limits) -> StoredImage:
    if entry.is_folder:
        return RefusedImage("a link to a folder, which is not followed")
    if _text(entry.id) != unicodedata.normalize("NFC", entry.id):
        return RefusedImage("its name is not valid UTF-8")
    try:
        target = entry.path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError):
        return RefusedImage("a link that leads nowhere" if entry.path.is_symlink() else "cannot be opened")
    if not target.is_relative_to(home):
        return RefusedImage("a link that leaves the folder")
    if not stat.S_ISREG(mode):
        return RefusedImage("not a regular file")
    return FileImage(target, limits)


def _explain_one_class(root: Path, entries: list[Entry], depth: int, name: str) -> None:
    inner = sorted({e.parts[depth + 1] for e in entries if len(e.parts) > depth + 2})
    hint = f"; if its folders ({', '.join(inner[:3])}, ...) are the classes, give {root / name}" if inner else ""
    raise DataError(f"data.source: {root} has only one class, {name!r}; at least two are needed{hint}")


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _LITTER


def _text(name: str) -> str:
    """A name that can be stored: composed Unicode, with bytes that are no UTF-8 written as escapes."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
