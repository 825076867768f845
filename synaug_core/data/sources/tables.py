"""Tables in text files, as people have them: CSV in the flavours of Excel and others, tab-separated, JSON lines."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synaug_core.errors import DataError

__all__ = ["Table", "read_table", "read_text", "table_of_records"]

_MOST_BYTES = 512e6
_DELIMITERS = (",", ";", "\t", "|")
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_ARCHIVE = b"PK\x03\x04"


@dataclass(frozen=True)
class Table:
    """Columns by name, each with as many texts as there are rows; `notes` are what the user should know."""

    name: str
    columns: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()), ()))


def read_table(path: Path) -> Table:
    """Read a table with a heading. Encoding (UTF-8, UTF-16, else Windows' Latin-1) and delimiter (comma, semicolon,
    tab, bar, or as a line `sep=` says) are read off the file.

    Raises:
        DataError: it cannot be read, or rows have more or fewer values than the heading.
    """
    text, notes = read_text(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_lines(path, text, notes)
    delimiter = None
    first, _, rest = text.partition("\n")
    if first.strip().strip('"').casefold().startswith("sep="):
        text, delimiter = rest, first.strip().strip('"')[4:5]
        delimiter = delimiter or "\t"
    try:
        heading = next(iter(csv.reader([text.lstrip("\r\n").partition("\n")[0]])), [])
        delimiter = delimiter or max(_DELIMITERS, key=lambda sign: ",".join(heading).count(sign))
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if line]
    except csv.Error as error:
        raise DataError(f"{path.name}: cannot be read as a CSV file ({error})") from error
    columns = [column.strip() for column in lines[0]] if lines else []
    while columns and not columns[-1] and all(len(line) >= len(columns) and not line[-1].strip() for line in lines):
        columns, lines = columns[:-1], [line[:-1] for line in lines]  # a delimiter at the end of each line
    body = [line for line in lines[1:] if any(value.strip() for value in line)]  # a spreadsheet's empty rows
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(columns) and any(value.strip() for value in line):
            raise DataError(f"{path.name}: row {number} has not {len(columns)} values as the heading has")
    _check_names(path, columns)
    values = [tuple(line[n].strip() for line in body) for n in range(len(columns))]
    return Table(path.name, dict(zip(columns, values, strict=True)), notes)


def read_text(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a file whose encoding is read off it, and notes on that.

    Raises:
        DataError: it cannot be read, is far too large, or is no text.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path.name}: larger than {_MOST_BYTES / 1e6:.0f} MB, which no table of labels is")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name}: cannot be opened ({error.strerror})") from error
    if data.startswith(_ARCHIVE):
        raise DataError(f"{path.name}: an Excel workbook or another archive; save it as CSV")
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    even, odd = data[:2000:2].count(0), data[1:2000:2].count(0)
    encoding = marked or ("utf-8" if not even + odd else "utf-16-le" if odd > even else "utf-16-be")
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError as error:
        if encoding != "utf-8" or 0 in data:
            raise DataError(f"{path.name}: cannot be read as text ({encoding}: {error.reason})") from error
    text = data.decode("cp1252", errors="replace")
    return text, (f"{path.name} is not in UTF-8 and was read as Latin-1 (Windows); check letters with accents.",)


def table_of_records(name: str, records: Sequence[Any], notes: tuple[str, ...] = ()) -> Table:
    """A table of JSON objects; what is no text or number in them is left out.

    Raises:
        DataError: one is no object.
    """
    columns: dict[str, list[str]] = {}
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{name}: entry {number} is no object with keys and values")
        for key, value in record.items():
            if isinstance(value, (str, int, float)):
                columns.setdefault(str(key), [""] * len(records))[number - 1] = str(value).strip()
    return Table(name, {key: tuple(values) for key, values in columns.items()}, notes)


def _json_lines(path: Path, text: str, notes: tuple[str, ...]) -> Table:
    try:
        records = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: cannot be read as JSON lines ({str(error)[:120]})") from error
    return table_of_records(path.name, records, notes)


def _check_names(path: Path, columns: Sequence[str]) -> None:
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise DataError(f"{path.name}: several columns are named {repeated[0] or 'nothing'!r}")
