"""What a file says of images: their classes, groups and splits. Tables, and the exports of COCO, Label Studio and
FiftyOne; what can be read in one way only is read, and what cannot is named."""

import difflib
import json
import re
import unicodedata
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from synaug_core.data.report import Split
from synaug_core.data.sources import tables
from synaug_core.data.sources.split_names import SPLIT_NAMES
from synaug_core.errors import DataError

__all__ = ["ROLES", "Labels", "Row", "joined", "read_labels"]

ROLES: dict[str, tuple[str, ...]] = {
    "id": (
        *("id", "file_name", "filename", "file", "filepath", "path", "image_path", "image", "image_id", "image_name"),
        *("img", "name"),
    ),
    "label": ("label", "labels", "class", "class_name", "category", "target", "diagnosis", "dx", "choice"),
    "group": ("group", "groups", "patient", "patient_id", "subject", "subject_id", "case", "case_id", "lesion_id"),
    "split": ("split", "set", "subset", "partition"),
}
"""What columns are usually called, the plainest names first."""
_CLOSE = 0.8
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""
_SHOWN = 5


@dataclass(frozen=True)
class Row:
    """What is said of one image; None: nothing."""

    label: str | None = None
    group: str | None = None
    split: Split | None = None


@dataclass(frozen=True)
class Labels:
    """What a file says of images.

    Attributes:
        file: its name, for messages.
        rows: what is said, row by row.
        names: for each way in which the file may name its images, the name of each row's.
        notes: what the user should know.
    """

    file: str
    rows: tuple[Row, ...]
    names: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def has_labels(self) -> bool:
        """Whether it says the class of any image."""
        return any(row.label is not None for row in self.rows)

    def of_images(self, ids: Sequence[str], source: str) -> dict[str, Row]:
        """What is said of each image, by its id.

        A row may name its image by the whole id, by its last parts (with or without the file's ending), or by a path
        that begins elsewhere and ends with the id. One way serves all rows, the strictest that does, and no row may fit
        two images.

        Raises:
            DataError: rows that fit no image or several, two rows for one image, or columns that name different images.
        """
        nearest = self.names[0], dict[int, str]()
        for places in _ways(ids):
            fits = []
            for names in self.names:
                matched = {n: fitting for n, name in enumerate(names) if (fitting := places(name))}
                single = {n: fitting[0] for n, fitting in matched.items() if len(fitting) == 1}
                if len(single) == len(self.rows):
                    fits.append((names, single))
                elif len(matched) == len(self.rows) and len(self.names) == 1:
                    n, fitting = next((n, fitting) for n, fitting in matched.items() if len(fitting) > 1)
                    first, second = fitting[:2]
                    raise DataError(f"{self.file}: {names[n]!r} may be {first} or {second}; give the whole path")
                nearest = max(nearest, (names, single), key=lambda pair: len(pair[1]))
            if any(single != fits[0][1] for _, single in fits):
                raise DataError(f"{self.file}: several columns name images, and not the same ones; leave the right one")
            if fits:
                return self._unique(*fits[0])
        names, single = nearest
        unknown = [name for n, name in enumerate(names) if n not in single]
        example = f"; an id is a path below the source, such as {ids[0]!r}" if ids else ""
        raise DataError(f"{self.file}: {len(unknown)} ids are not images of {source}, such as {unknown[0]!r}{example}")

    def _unique(self, names: Sequence[str], ids: Mapping[int, str]) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        for n, name in ids.items():
            if name in rows:
                raise DataError(f"{self.file}: {names[n]!r} occurs twice")
            rows[name] = self.rows[n]
        return rows


def read_labels(path: Path) -> Labels:
    """What a file says of images.

    Raises:
        DataError: it cannot be read, does not name images, or can be read in two ways.
    """
    if path.suffix.lower() != ".json":
        return _of_table(tables.read_table(path))
    text, notes = tables.read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: cannot be read as JSON ({str(error)[:120]})") from error
    for tool, reader in (("COCO", _coco), ("Label Studio", _label_studio), ("FiftyOne", _fiftyone)):
        try:
            labels = reader(path.name, content)
        except (KeyError, TypeError, AttributeError, IndexError, StopIteration) as error:
            raise DataError(f"{path.name}: is not complete as a file of {tool} ({error!r})"[:200]) from error
        if labels is not None:
            return labels
    if isinstance(content, list):
        return _of_table(tables.table_of_records(path.name, content, notes))
    if isinstance(content, dict) and content and all(isinstance(value, str) for value in content.values()):
        return _labels(path.name, content.items())
    raise DataError(
        f"{path.name}: names no classes in a way that is known: COCO, Label Studio or FiftyOne for classification, a "
        "list of objects, or an object of file names with their classes"
    )


def joined(parts: Sequence[tuple[str, Labels]], file: str) -> Labels:
    """Several files as one: each with the folder that its names begin in, "" for none."""
    rows = tuple(row for _, labels in parts for row in labels.rows)
    ways = max(len(labels.names) for _, labels in parts)
    names = tuple(
        tuple(
            f"{folder}/{name}" if folder else name
            for folder, labels in parts
            for name in labels.names[min(way, len(labels.names) - 1)]
        )
        for way in range(ways)
    )
    return Labels(file, rows, names, tuple(note for _, labels in parts for note in labels.notes))


def _ways(ids: Sequence[str]) -> Iterator[Callable[[str], list[str]]]:
    """Ways to find the images that a name may mean, the strictest first."""
    whole = {name: [name] for name in ids}
    endings: dict[str, list[str]] = defaultdict(list)
    for name in ids:
        parts = name.split("/")
        stem = [*parts[:-1], PurePosixPath(parts[-1]).stem]
        for n in range(len(parts)):
            for ending in dict.fromkeys(("/".join(parts[n:]), "/".join(stem[n:]))):
                endings[ending].append(name)

    def by_longer_path(name: str) -> list[str]:
        parts = name.split("/")
        return next((whole[ending] for n in range(len(parts)) if (ending := "/".join(parts[n:])) in whole), [])

    def by_file_name(name: str) -> list[str]:
        file_name = name.rpartition("/")[2]
        return endings.get(file_name) or endings.get(_UPLOAD.sub("", file_name), [])

    yield lambda name: whole.get(name, [])
    yield lambda name: endings.get(name, [])
    yield by_longer_path
    yield by_file_name


def _of_table(table: tables.Table) -> Labels:
    """What a table says, by what its columns are called.

    Raises:
        DataError: no column names images, or a column may be meant in two ways.
    """
    by_role: dict[str, list[str]] = {role: [] for role in ROLES}
    ignored = []
    for column in table.columns:
        plain = re.sub(r"[\s-]+", "_", column.casefold())
        role = next((role for role, words in ROLES.items() if plain in words), None)
        if role is None:
            ignored.append(column)
        else:
            by_role[role].append(column)
    choices, ignored = _one_hot(table, ignored) if not by_role["label"] else (None, ignored)
    for column in ignored:
        words = [word for role, words in ROLES.items() if not by_role[role] for word in words]
        if close := difflib.get_close_matches(column.casefold(), words, 1, _CLOSE):
            raise DataError(f"{table.name}: the column {column!r} is not known; is {close[0]} meant?")
    if not by_role["id"]:
        raise DataError(
            f"{table.name}: the columns must be id and, if wanted, label, group and split; "
            f"found {', '.join(table.columns)[:200] or 'none'}"
        )
    label = choices or _column(table, "label", by_role["label"])
    group, split = (_column(table, role, by_role[role]) for role in ("group", "split"))
    order = {word: n for n, word in enumerate(ROLES["id"])}
    ids = sorted(by_role["id"], key=lambda column: order[re.sub(r"[\s-]+", "_", column.casefold())])
    notes = table.notes
    if ignored:
        shown = ", ".join(ignored[:_SHOWN]) + (", ..." if len(ignored) > _SHOWN else "")
        notes = (*notes, f"{table.name}: columns that are not used: {shown}.")
    return Labels(
        file=table.name,
        rows=tuple(
            Row(_text(label[n]) if label else None, _text(group[n]) if group else None, _split(table.name, n, split))
            for n in range(table.rows)
        ),
        names=tuple(tuple(map(_path, table.columns[column])) for column in ids),
        notes=notes,
    )


def _one_hot(table: tables.Table, columns: list[str]) -> tuple[tuple[str, ...] | None, list[str]]:
    """The classes, where each has a column and each row has a 1 in one of these and 0 in the others; and the columns
    that are left."""
    marks = {column: table.columns[column] for column in columns if _are_marks(table.columns[column])}
    if len(marks) < 2:
        return None, columns
    chosen = [[column for column, values in marks.items() if float(values[n])] for n in range(table.rows)]
    if any(len(names) != 1 for names in chosen):
        return None, columns
    return tuple(names[0] for names in chosen), [column for column in columns if column not in marks]


def _are_marks(values: Sequence[str]) -> bool:
    return bool(values) and set(values) <= {"0", "1", "0.0", "1.0"}


def _column(table: tables.Table, role: str, candidates: Sequence[str]) -> tuple[str, ...] | None:
    """The column for a role: the only one, the one of that very name, or of several that divide the images alike the
    one in words.

    Raises:
        DataError: there are several that say different things.
    """
    if not candidates:
        return None
    of_that_name = [column for column in candidates if column.casefold() == role]
    values = [table.columns[column] for column in candidates]
    pairs = {len(set(column)) for column in values} | {len(set(zip(*values, strict=True)))}
    if len(pairs) == 1:
        return next((column for column in values if not all(value.isdigit() for value in column)), values[0])
    if of_that_name:
        return table.columns[of_that_name[0]]
    raise DataError(
        f"{table.name}: {' and '.join(candidates)} may each be the {'class' if role == 'label' else role}; name the "
        f"right one {role}"
    )


def _split(file: str, row: int, values: Sequence[str] | None) -> Split | None:
    if values is None or not values[row].strip():
        return None
    if (name := values[row].strip().casefold()) not in SPLIT_NAMES:
        raise DataError(f"{file}: row {row + 2} has the split {values[row].strip()!r}; use train, val or test")
    return SPLIT_NAMES[name]


def _labels(file: str, pairs: Any) -> Labels:
    """Labels of file names with their classes."""
    listed = [(_path(str(name)), _text(str(label))) for name, label in pairs]
    return Labels(file, tuple(Row(label=label) for _, label in listed), (tuple(name for name, _ in listed),))


def _coco(file: str, content: Any) -> Labels | None:
    """COCO: images, categories, and annotations that join them; boxes and outlines are not read."""
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        return None
    names = {image["id"]: str(image["file_name"]) for image in content["images"]}
    categories = {category["id"]: str(category["name"]) for category in content["categories"]}
    classes: dict[Any, set[str]] = {}
    for annotation in content["annotations"]:
        classes.setdefault(annotation["image_id"], set()).add(categories[annotation["category_id"]])
    return _single(file, [(names[image], fitting) for image, fitting in classes.items()])


def _label_studio(file: str, content: Any) -> Labels | None:
    """Label Studio: tasks with an image and a choice; cancelled annotations do not count."""
    is_export = isinstance(content, list) and content and all(isinstance(task, dict) for task in content)
    if not is_export or not all({"data", "annotations"} <= task.keys() for task in content):
        return None
    pairs = []
    for task in content:
        images = [str(value) for key, value in task["data"].items() if key in ("image", "img", "url", "file")]
        chosen = {
            str(choice)
            for annotation in task["annotations"]
            if not annotation.get("was_cancelled")
            for result in annotation["result"]
            if result.get("type") == "choices"
            for choice in result["value"]["choices"]
        }
        if chosen:
            pairs.append((images[0], chosen))
    return _single(file, pairs)


def _fiftyone(file: str, content: Any) -> Labels | None:
    """FiftyOne: an image classification data set (`labels.json`), or samples with one field of a classification."""
    if not isinstance(content, dict):
        return None
    if isinstance(content.get("labels"), dict):
        classes = content.get("classes")
        pairs = []
        for name, value in content["labels"].items():
            label = value.get("label") if isinstance(value, dict) else value
            if isinstance(label, int) and isinstance(classes, list) and 0 <= label < len(classes):
                label = classes[label]
            if label is not None:
                pairs.append((name, str(label)))
        return _labels(file, pairs)
    samples = content.get("samples")
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        return None
    fields = {
        key
        for sample in samples
        for key, value in sample.items()
        if isinstance(value, dict) and value.get("_cls") == "Classification"
    }
    field = "ground_truth" if "ground_truth" in fields else next(iter(fields), None)
    if field is None or (len(fields) > 1 and field != "ground_truth"):
        raise DataError(
            f"{file}: {', '.join(sorted(fields)) or 'no field'} may be the class; export one classification"
        )
    listed = [sample for sample in samples if isinstance(sample.get(field), dict) and sample[field].get("label")]
    labels = _labels(file, [(sample["filepath"], sample[field]["label"]) for sample in listed])
    splits = [{SPLIT_NAMES[tag] for tag in map(str, s.get("tags") or []) if tag in SPLIT_NAMES} for s in listed]
    if splits and all(len(one) == 1 for one in splits):
        rows = (replace(row, split=one.pop()) for row, one in zip(labels.rows, splits, strict=True))
        return replace(labels, rows=tuple(rows))
    return labels


def _single(file: str, pairs: Sequence[tuple[str, set[str]]]) -> Labels:
    """Labels where each image is of one class.

    Raises:
        DataError: an image is of several, or none is of any.
    """
    if several := [(name, sorted(fitting)) for name, fitting in pairs if len(fitting) > 1]:
        name, fitting = several[0]
        raise DataError(
            f"{file}: {len(several)} images are of several classes, such as {name} ({', '.join(fitting)}): a "
            "classifier needs one for each image; leave such images out, or decide on one class"
        )
    if not pairs:
        raise DataError(f"{file}: no image has a class")
    return _labels(file, [(name, next(iter(fitting))) for name, fitting in pairs])


def _text(value: str) -> str | None:
    return unicodedata.normalize("NFC", value.strip()) or None


def _path(text: str) -> str:
    """A name as the ids of images are written: no address around it, no place on another machine before it."""
    name = text.strip().replace("\\", "/")
    if "?d=" in name:  # Label Studio's local files
        name = urllib.parse.unquote(name.partition("?d=")[2])
    elif "://" in name:
        name = urllib.parse.unquote(urllib.parse.urlsplit(name).path)
    return unicodedata.normalize("NFC", name.removeprefix("./").lstrip("/"))
