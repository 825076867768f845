"""A CSV file that says more about the images: which group they belong to, which split they are in."""

import csv
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

from synaug_core.config import DataConfig
from synaug_core.data.report import Split
from synaug_core.data.sources import base, folder
from synaug_core.errors import DataError

__all__ = ["apply_metadata", "metadata_path", "read_labels"]

_COLUMNS = ("id", "label", "group", "split")
_NO_GROUP = {
    *("na", "n/a", "n.a.", "<na>", "#n/a", "nan", "nat", "none", "null", "nil", "missing", "unknown", "undefined"),
    *("", "-", "--", "?", "."),
}


@dataclass(frozen=True)
class _Row:
    label: str | None
    group: str | None
    split: Split | None


def metadata_path(config: DataConfig) -> Path | None:
    """The CSV file, sought as given and then in the source's folder, links resolved; None where none is named.

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


def read_labels(config: DataConfig) -> dict[str, str] | None:
    """The class of each image by its id; None where no file says.

    Raises:
        DataError: the CSV cannot be read, or says so of some images only.
    """
    path = metadata_path(config)
    rows = {} if path is None else _read(path)
    labels = {name: row.label for name, row in rows.items() if row.label is not None}
    if path is not None and labels and len(labels) < len(rows):
        raise DataError(f"{path.name}: {len(rows) - len(labels)} of {len(rows)} rows have no label")
    return labels or None


def apply_metadata(listing: base.Listing, config: DataConfig) -> base.Listing:
    """The listing with the CSV's groups and splits, which take precedence over folders' splits, and without groups
    whose name says that there is none.

    An image without a row keeps what it has; a split is named for all images or for none.

    Raises:
        DataError: the CSV cannot be read, or has unknown columns, ids or splits, an id twice, or splits for some only.
    """
    path = metadata_path(config)
    if path is None:
        return _without_markers(listing)
    rows = _read(path)
    known_ids = {item.id for item in listing.items} | {r.path for r in listing.rejected}
    if unknown := [i for i in rows if i not in known_ids]:
        raise DataError(
            f"{path.name}: {len(unknown)} ids are not images of {listing.name}, such as {unknown[0]!r}; "
            f"an id is a path below the source, such as {listing.items[0].id!r}"
        )
    items = []
    for item in listing.items:
        row = rows.get(item.id, _Row(None, None, None))
        if row.label not in (None, item.label):
            raise DataError(
                f"{path.name}: {item.id!r} is of the class {row.label!r} there and {item.label!r} in {listing.name}; "
                "only a folder's images take their classes from a CSV file"
            )
        items.append(replace(item, group=row.group or item.group, split=row.split or item.split))
    without = [i.id for i in items if i.split is None]
    if without and len(without) < len(items):
        raise DataError(
            f"{path.name}: {len(without)} images have no split, such as {without[0]!r}; name one for all or for none"
        )
    return _without_markers(replace(listing, items=tuple(items)))


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


def _read(path: Path) -> dict[str, _Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [c.strip() for c in reader.fieldnames or ()]
            _check_columns(path, columns)
            reader.fieldnames = columns
            lines = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name}: cannot be read as a CSV file ({error})") from error
    except OSError as error:
        raise DataError(f"{path.name}: cannot be opened ({error.strerror})") from error
    rows: dict[str, _Row] = {}
    for number, line in enumerate(lines, start=2):
        if None in line or None in line.values():
            raise DataError(f"{path.name}: row {number} has not {len(columns)} values as the heading has")
        name = unicodedata.normalize("NFC", line["id"].strip().replace("\\", "/").removeprefix("./"))
        if name in rows:
            raise DataError(f"{path.name}: {name!r} occurs twice")
        label = unicodedata.normalize("NFC", line.get("label", "").strip()) or None
        group = line.get("group", "").strip() or None
        rows[name] = _Row(label, group, _split(path, number, line.get("split", "")))
    return rows


def _check_columns(path: Path, columns: list[str]) -> None:
    unknown = [c for c in columns if c not in _COLUMNS]
    if "id" not in columns or unknown or len(set(columns)) < len(columns):
        raise DataError(
            f"{path.name}: the columns must be id and, if wanted, label, group and split; "
            f"found {', '.join(columns)[:200] or 'none'}"
        )


def _split(path: Path, number: int, text: str) -> Split | None:
    name = text.strip().casefold()
    if not name:
        return None
    if name not in folder.SPLIT_NAMES:
        raise DataError(f"{path.name}: row {number} has the split {text.strip()!r}; use train, val or test")
    return folder.SPLIT_NAMES[name]
