"""Files that say more about the images than their source does: their classes, the groups they belong to, the splits
they are in."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from synaug_core.config import DataConfig
from synaug_core.data.report import Split
from synaug_core.data.sources import LABEL_SUFFIXES, base, folder
from synaug_core.data.sources.labels import Labels, Row, joined, read_labels
from synaug_core.data.sources.split_names import SPLIT_NAMES, split_name
from synaug_core.errors import DataError
from synaug_core.names import words_of

__all__ = ["apply_metadata", "labels_of", "metadata_path"]

_NO_GROUP = {
    *("na", "n/a", "n.a.", "<na>", "#n/a", "nan", "nat", "none", "null", "nil", "missing", "unknown", "undefined"),
    *("", "-", "--", "?", "."),
}
_BESIDE = {
    *("metadata.csv", "metadata.jsonl", "labels.csv", "labels.json", "samples.json"),
    *("_annotations.coco.json", "_classes.csv"),
}
"""Files that are sought in the folders of splits too, each about the images beside or below it: of Hugging Face's image
folders, FiftyOne and Roboflow."""
_ANNOTATIONS = "annotations"
"""The folder in which COCO keeps its files."""


def metadata_path(config: DataConfig) -> Path | None:
    """The file that `data.metadata` names, sought as given and then in the source's folder, links resolved; None where
    none is named.

    Raises:
        DataError: there is no such file.
    """
    if config.metadata is None:
        return None
    try:
        path = Path(config.metadata).expanduser()
        for candidate in (path, Path(config.source).expanduser() / path):
            if candidate.is_file():
                return candidate.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in it, a name too long, the home of nobody
        raise DataError(f"data.metadata: {config.metadata[:60]!r} cannot be a path") from error
    raise DataError(f"data.metadata: there is no file {config.metadata}")


def labels_of(config: DataConfig) -> Labels | None:
    """What a file says of the images: the one that is named, or the only one in a folder whose images lie in no class
    folders; None where there is none.

    Raises:
        DataError: the file cannot be read, says the class of some images only, or several may be meant.
    """
    path = metadata_path(config)
    labels = read_labels(path) if path is not None else _labels_in(Path(config.source).expanduser())
    if labels is not None and labels.has_labels:
        without = sum(row.label is None for row in labels.rows)
        if without:
            raise DataError(f"{labels.file}: {without} of {len(labels.rows)} rows have no label")
    return labels


def apply_metadata(listing: base.Listing, labels: Labels | None) -> base.Listing:
    """The listing with a file's groups and splits, which take precedence over folders' splits, and without groups
    whose name says that there is none.

    An image without a row keeps what it has; a split is named for all images or for none.

    Raises:
        DataError: unknown ids, an id twice, another class than the source's, or splits for some only.
    """
    if labels is None:
        return _without_markers(listing)
    ids = (*(item.id for item in listing.items), *(r.path for r in listing.rejected))
    rows = labels.of_images(ids, listing.name)
    items = []
    for item in listing.items:
        row = rows.get(item.id, Row())
        if row.label not in (None, item.label):
            raise DataError(
                f"{labels.file}: {item.id!r} is of the class {row.label!r} there and {item.label!r} in {listing.name}; "
                "only a folder's images take their classes from a file"
            )
        items.append(replace(item, group=row.group or item.group, split=row.split or item.split))
    without = [i.id for i in items if i.split is None]
    if without and len(without) < len(items):
        raise DataError(
            f"{labels.file}: {len(without)} images have no split, such as {without[0]!r}; name one for all or for none"
        )
    notes = tuple(dict.fromkeys((*listing.notes, *labels.notes)))
    return _without_markers(replace(listing, items=tuple(items), notes=notes))


def _labels_in(root: Path) -> Labels | None:
    """What the files in a folder say of its images, where no folder names their classes.

    Raises:
        DataError: several files may be meant.
    """
    if not _may_hold_labels(root):
        return None
    entries = list(folder.walk(root))
    files = [e for e in entries if not e.is_folder and e.suffix in LABEL_SUFFIXES and _may_be_about_images(e)]
    if not files or not any(e.looks_like_image for e in entries) or folder.may_hold_classes(entries):
        return None
    by_file, problems = _readable(files)
    if not by_file:
        if len(problems) == 1:
            raise DataError(f"data.source: {root} has no class folders, and {problems[0]}")
        return None
    splits = {entry: _split_of(entry) for entry in by_file}
    if len(by_file) == 1:
        [(entry, labels)] = by_file.items()
        labels = joined([(_folder_of(entry), labels)], entry.id)
    elif None not in splits.values() and len(set(splits.values())) == len(splits):
        parts = []
        for entry, labels in by_file.items():
            rows = tuple(replace(row, split=row.split or splits[entry]) for row in labels.rows)
            parts.append((_folder_of(entry), replace(labels, rows=rows)))
        labels = joined(parts, ", ".join(entry.id for entry in by_file))
    else:
        named = ", ".join(entry.id for entry in by_file)
        first = next(iter(by_file)).id
        raise DataError(f"data.source: {named} may each name the classes: say which, as in --set data.metadata={first}")
    return replace(labels, notes=(f"The classes are read from {labels.file}.", *labels.notes))


def _may_hold_labels(root: Path) -> bool:
    """Whether a source is a folder with files that may name classes, without going through it."""
    try:
        paths = list(root.iterdir()) if root.is_dir() else []
        return any(
            any((path / name).is_file() for name in _BESIDE) or path.name.casefold() == _ANNOTATIONS
            if path.is_dir()
            else path.suffix.lower() in LABEL_SUFFIXES
            for path in paths
        )
    except (OSError, ValueError):  # listing it says so
        return False


def _split_of(entry: folder.Entry) -> Split | None:
    """The split that a file is about, by its name or, in a folder of images, by that of the folder."""
    if len(entry.parts) == 2 and _folder_of(entry):
        return split_name(entry.parts[0])
    named = {SPLIT_NAMES[word] for word in words_of(entry.parts[-1]) if word in SPLIT_NAMES}
    return named.pop() if len(named) == 1 else None


def _folder_of(entry: folder.Entry) -> str:
    """The folder in which a file's names begin."""
    return "" if len(entry.parts) == 1 or entry.parts[0].casefold() == _ANNOTATIONS else entry.parts[0]


def _may_be_about_images(entry: folder.Entry) -> bool:
    if len(entry.parts) == 2:
        return entry.parts[0].casefold() == _ANNOTATIONS or entry.parts[1].casefold() in _BESIDE
    return len(entry.parts) == 1


def _readable(files: Sequence[folder.Entry]) -> tuple[dict[folder.Entry, Labels], list[str]]:
    """What files that nobody named say of the classes of images, and why others cannot be read."""
    by_file, problems = {}, []
    for entry in files:
        try:
            labels = read_labels(entry.path)
        except DataError as error:
            problems.append(str(error))
            continue
        if labels.has_labels:
            by_file[entry] = labels
    return by_file, problems


def _without_markers(listing: base.Listing) -> base.Listing:
    """Tables write "no group" as a text, which would bind all such images to one side."""
    marked = [item for item in listing.items if item.group is not None and item.group.strip().casefold() in _NO_GROUP]
    if not marked:
        return listing
    note = (
        f"{len(marked)} images have a group named {marked[0].group!r} or the like, which is read as none: they need "
        "not stay together."
    )
    ids = {item.id for item in marked}
    items = tuple(replace(item, group=None) if item.id in ids else item for item in listing.items)
    return replace(listing, items=items, notes=(*listing.notes, note))
