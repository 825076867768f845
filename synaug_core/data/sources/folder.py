"""A folder of class folders, with or without train, val and test folders above them."""

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from synaug_core.data import decode, report
from synaug_core.data.sources.base import FileImage, Instructions, Item, Listing, RefusedImage, StoredImage
from synaug_core.data.sources.labels import Labels
from synaug_core.data.sources.masks import MASK_WORDS, MarkedImage, pair_masks
from synaug_core.data.sources.split_names import CONTENT_WORDS, split_name
from synaug_core.errors import DataError
from synaug_core.names import consists_of

__all__ = ["list_folder", "may_hold_classes", "walk"]

_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".dcm"}
_SUFFIXES |= {".dicom"}
_DOCUMENTS = {
    *(".csv", ".tsv", ".txt", ".xml", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".ini", ".log", ".md", ".rst"),
    *(".pdf", ".html", ".htm", ".xls", ".xlsx", ".ods", ".doc", ".docx", ".py", ".ipynb", ".m", ".sh", ".r"),
}
_TABLES = {".csv", ".tsv", ".xls", ".xlsx", ".ods", ".json"}
_LITTER = {"__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "lost+found"}
_LITTER |= {"system volume information"}
_NAMED_ALIKE = 0.8
"""Share of the folders within others that have the name of one in another, where these stand above the classes."""


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
    def suffix(self) -> str:
        return "" if self.is_folder else PurePosixPath(self.parts[-1]).suffix.lower()

    @property
    def looks_like_image(self) -> bool:
        return self.suffix in _SUFFIXES

    @property
    def may_be_image(self) -> bool:
        return not self.is_folder and self.suffix not in _DOCUMENTS


def walk(root: Path) -> Iterator[Entry]:
    """Every file and every folder below `root`, sorted by path; hidden ones and those of systems left out, links to
    folders not entered."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not _hidden(f) and f[0] not in "@$#")  # of a NAS, or Windows
        parts = Path(folder).relative_to(root).parts
        for name in folders:
            yield Entry((*parts, name), Path(folder, name), is_folder=True)
        for name in sorted(f for f in files if not _hidden(f)):
            yield Entry((*parts, name), Path(folder, name))


def list_folder(root: Path, instructions: Instructions) -> Listing:
    """List a folder. A class is the first folder name below the root or below a split folder, where the instructions
    have no labels.

    Images in deeper folders belong to the class above them. Files of other kinds outside the class folders are
    ignored, within them they are rejected when read; folders without images are no classes, and masks beside their
    images no images.

    Raises:
        DataError: no image, no class folders, or a layout that can be read in two ways.
    """
    entries = [e for e in walk(root) if instructions.metadata is None or e.path.resolve() != instructions.metadata]
    if not any(e.may_be_image for e in entries):
        raise DataError(f"data.source: {root} has no images")
    if instructions.labels is not None:
        return _list_labelled(root, entries, instructions, instructions.labels)
    splits = _split_folders(root, entries)
    depth = 1 if splits else 0
    if splits:
        entries = [e for e in entries if e.parts[0] in splits]
    _check_classes(root, entries, depth, instructions.classes is not None)
    masks = pair_masks(_image_paths(entries), depth)
    stored = _stored_images(root, entries, masks, instructions)
    items: list[Item] = []
    rejections: list[report.Rejected] = []
    folders, classes, names = set[str](), set[str](), set[str]()
    for entry in entries:
        if entry.parts in masks:
            continue
        if len(entry.parts) < depth + 2 and not entry.is_folder:
            if entry.looks_like_image:
                rejections.append(report.Rejected(path=_text(entry.id), reason="lies outside the class folders"))
            continue
        if len(entry.parts) > depth:
            folders.add(_text(entry.parts[depth]))
            if entry.may_be_image or (entry.is_folder and entry.path.is_symlink()):
                classes.add(_text(entry.parts[depth]))
        if entry.is_folder and not entry.path.is_symlink():
            continue
        name = _text(entry.id)
        if name in names:
            rejections.append(
                report.Rejected(
                    path=name,
                    reason="another file has the same name and folder, but for how accents are encoded (Unicode)",
                )
            )
            continue
        names.add(name)
        split = splits.get(entry.parts[0])
        items.append(Item(name, _text(entry.parts[depth]), stored(entry), split))
    classes |= folders & {_text(name) for name in instructions.classes or ()}
    items = [item for item in items if item.label in classes]
    if not classes:
        raise DataError(
            f"data.source: {root} has {len(rejections)} images but no class folders; {_how_to_label(entries)}"
        )
    if len(classes) == 1:
        _explain_one_class(root, entries, depth, next(iter(classes)))
    notes = _about_folders(folders - classes, classes, len(masks), instructions.crops_to_masks)
    return Listing(root.resolve().name, tuple(items), tuple(sorted(classes)), tuple(rejections), notes)


def _list_labelled(root: Path, entries: list[Entry], instructions: Instructions, labels: Labels) -> Listing:
    """Images whose classes stand in a file; folders that are named after splits give these."""
    home = root.resolve()
    masks = pair_masks(_image_paths(entries), -1)
    files = {_text(entry.id): entry for entry in entries if entry.may_be_image}
    try:
        rows = labels.of_images(tuple(name for name, entry in files.items() if entry.parts not in masks), home.name)
    except DataError:
        if not masks:
            raise
        rows = labels.of_images(tuple(files), home.name)  # some that are named like masks are labelled
    masks = {mask: image for mask, image in masks.items() if _text("/".join(mask)) not in rows}
    stored = _stored_images(root, entries, masks, instructions)
    items: list[Item] = []
    rejections: list[report.Rejected] = []
    for name, entry in files.items():
        row = rows.get(name)
        if row is not None and row.label is not None:
            split = split_name(entry.parts[0]) if len(entry.parts) > 1 else None
            items.append(Item(name, row.label, stored(entry), row.split or split, row.group))
        elif entry.looks_like_image and entry.parts not in masks:
            rejections.append(report.Rejected(path=name, reason=f"has no label in {labels.file}"))
    classes = sorted({item.label for item in items})
    notes = (*labels.notes, *_about_masks(len(masks), instructions.crops_to_masks))
    return Listing(home.name, tuple(items), tuple(classes), tuple(rejections), notes)


def may_hold_classes(entries: Iterable[Entry]) -> bool:
    """Whether images lie in folders that may be named after classes: neither after splits nor after contents."""
    return any(any(not _is_no_class(part) for part in entry.parts[:-1]) for entry in entries if entry.looks_like_image)


def _stored_images(
    root: Path, entries: list[Entry], masks: Mapping[tuple[str, ...], tuple[str, ...]], instructions: Instructions
) -> Callable[[Entry], StoredImage]:
    """What gives the image of an entry, cut to what its masks mark where the instructions say so.

    Raises:
        DataError: no image has a mask where they do.
    """
    home, limits = root.resolve(), instructions.limits
    masks_of: dict[tuple[str, ...], list[StoredImage]] = {}
    if instructions.crops_to_masks:
        if not masks:
            raise DataError(
                f"data.masks: no image in {root} has a mask (NAME_mask.png beside NAME.png, or masks/NAME.png)"
            )
        for entry in entries:
            if entry.parts in masks:
                masks_of.setdefault(masks[entry.parts], []).append(_stored(entry, home, limits))

    def image_of(entry: Entry) -> StoredImage:
        image = _stored(entry, home, limits)
        return MarkedImage(image, tuple(masks_of[entry.parts])) if entry.parts in masks_of else image

    return image_of


def _split_folders(root: Path, entries: list[Entry]) -> dict[str, report.Split]:
    """Top folders that stand for splits, or nothing where all of them are classes.

    A folder named "train" with images directly in it is a class (of vehicles, say), but not beside others that are
    named after splits.
    """
    tops = {e.parts[0] for e in entries if e.is_folder}
    split_by_folder = {t: split for t in sorted(tops) if (split := split_name(t)) is not None}
    direct = {e.parts[0] for e in entries if len(e.parts) == 2 and e.looks_like_image}
    unlabelled = sorted(set(split_by_folder) & direct)
    if len({split_by_folder[name] for name in unlabelled}) > 1:
        raise DataError(
            f"data.source: {root} has images directly in {', '.join(unlabelled)}, which name splits and no classes; "
            f"{_how_to_label(entries)}"
        )
    if not split_by_folder or unlabelled:
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


def _check_classes(root: Path, entries: list[Entry], depth: int, names_classes: bool) -> None:
    """Refuse folders that are not named after classes, and a level that stands above or below the classes.

    Raises:
        DataError: all folders are named after splits or contents, or the same folders stand in each of several.
    """
    images = [e for e in entries if e.looks_like_image and len(e.parts) > depth + 1]
    tops = {e.parts[depth] for e in images}
    if len(tops) > 1 and all(_is_no_class(top) for top in tops) and not names_classes:
        raise DataError(
            f"data.source: {root} has folders that name no classes ({_some(tops)}); {_how_to_label(entries)}"
        )
    pairs = {(e.parts[depth], e.parts[depth + 1]) for e in images if len(e.parts) > depth + 2}
    inner = Counter(name for _, name in pairs)
    direct = sum(len(e.parts) == depth + 2 for e in images)
    if len(tops) < 2 or not inner or direct > (1 - _NAMED_ALIKE) * len(images):
        return
    if len({split_name(name) for name in inner}) > 1 and all(split_name(name) for name in inner):
        raise DataError(
            f"data.source: {root} has {_some(inner)} in its class folders, where they do not divide the images; put "
            f"them above the classes ({min(inner)}/{min(tops)})"
        )
    names = {name for name in inner if not _is_no_class(name)}
    repeated = {name for name in names if inner[name] > 1}
    if len(repeated) < 2 or sum(inner[n] for n in repeated) < _NAMED_ALIKE * sum(inner[n] for n in names):
        return
    if names_classes or (_are_numbered(names) and not (_are_numbered(tops) and len(tops) > len(names))):
        return  # numbered alone, they are patients, say, counted anew in each class
    raise DataError(
        f"data.source: {root} has the same folders ({_some(repeated)}) in each of several others ({_some(tops)}): if "
        f"they are the classes, put them above the others ({min(repeated)}/{min(tops)}), or name each image's class "
        "in a CSV file (data.metadata, with the columns id, label and, for what has to stay together, group); if the "
        "others are the classes, say so with data.classes"
    )


def _is_no_class(folder: str) -> bool:
    return split_name(folder) is not None or consists_of(folder, CONTENT_WORDS | MASK_WORDS)


def _are_numbered(names: Iterable[str]) -> bool:
    numbered = [any(character.isdigit() for character in name) for name in names]
    return sum(numbered) * 2 > len(numbered)


def _about_folders(without_images: set[str], classes: set[str], masks: int, is_cropped: bool) -> tuple[str, ...]:
    notes = []
    if without_images:
        notes.append(f"Folders without images are no classes: {_some(without_images)}.")
    notes += _about_masks(masks, is_cropped)
    folded = Counter(name.casefold() for name in classes)
    if alike := sorted(name for name in classes if folded[name.casefold()] > 1):
        notes.append(f"The classes {', '.join(alike)} differ in letter case alone: if they are one, give one name.")
    return tuple(notes)


def _about_masks(count: int, is_cropped: bool) -> tuple[str, ...]:
    if not count:
        return ()
    subject = f"{count} {'file is a mask' if count == 1 else 'files are masks'} beside the image of the same name"
    if is_cropped:
        return (f"{subject}, and images are cut to what their masks mark; cut what the model is shown later alike.",)
    return (f"{subject}, and not read as images (data.masks=crop cuts each image to what its mask marks).",)


def _image_paths(entries: list[Entry]) -> list[tuple[str, ...]]:
    return [entry.parts for entry in entries if entry.looks_like_image]


def _how_to_label(entries: list[Entry]) -> str:
    table = next((e.id for e in entries if e.suffix in _TABLES), None)
    hint = "put the images of each class into a folder named after the class, or name the classes in a CSV file "
    hint += "(data.metadata, with the columns id, which is the path below the folder, and label)"
    return hint + (f"; does {table} have them?" if table else "")


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:4]) + (", ..." if len(ordered) > 4 else "")


def _stored(entry: Entry, home: Path, limits: decode.Limits) -> StoredImage:
    if entry.is_folder:
        return RefusedImage("a link to a folder, which is not followed; copy the data with cp -rL")
    if _text(entry.id) != unicodedata.normalize("NFC", entry.id):
        return RefusedImage("its name is not valid UTF-8")
    try:
        target = entry.path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError):
        return RefusedImage("a link that leads nowhere" if entry.path.is_symlink() else "cannot be opened")
    if not target.is_relative_to(home):
        return RefusedImage("a link that leaves the folder; copy the data with cp -rL")
    if not stat.S_ISREG(mode):
        return RefusedImage("not a regular file")
    return FileImage(target, limits)


def _explain_one_class(root: Path, entries: list[Entry], depth: int, name: str) -> None:
    inner = sorted({e.parts[depth + 1] for e in entries if len(e.parts) > depth + 2})
    hint = f"; if its folders ({', '.join(inner[:3])}, ...) are the classes, give {root / name}" if inner else ""
    if _is_no_class(name) and not inner:
        hint = f"; {_how_to_label(entries)}"
    raise DataError(f"data.source: {root} has only one class, {name!r}; at least two are needed{hint}")


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _LITTER


def _text(name: str) -> str:
    """A name that can be stored: composed Unicode, with bytes that are no UTF-8 written as escapes."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
