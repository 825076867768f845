"""A cheap digest of a source's bytes: if it has not changed, the images need not be read again."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from synaug_core import digests, errors
from synaug_core.config import DataConfig
from synaug_core.data import sources
from synaug_core.data.sources import metadata
from synaug_core.data.sources.folder import Entry, walk

__all__ = ["fingerprint"]


def fingerprint(config: DataConfig) -> str:
    """SHA-256 in hex over what `config.source` and `config.metadata` hold: file names and bytes.

    Where the source lies is not part of it, nor is any other part of the configuration.

    Raises:
        DataError: the source or the metadata file is missing or cannot be read.
    """
    extra = metadata.metadata_path(config)
    kind, path = sources.match_kind(config.source), sources.source_path(config.source)
    try:
        content = kind.version() if kind.version else digests.of_file(path) if path.is_file() else _folder(path)
        rows = digests.of_file(extra) if extra else None
    except OSError as error:
        raise errors.DataError(f"data.source: {config.source} cannot be read ({error.strerror})") from error
    return digests.of_value({"kind": kind.name, "content": content, "metadata": rows})


def _folder(root: Path) -> list[list[str]]:
    home = root.resolve()
    entries = list(walk(root))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        contents = list(pool.map(lambda entry: _file(entry, home), entries))
    names = [e.id.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for e in entries]
    return [list(pair) for pair in zip(names, contents, strict=True)]


def _file(entry: Entry, home: Path) -> str:
    """The digest of a file's bytes, or a word for what is not read: it is listed as rejected, whatever it holds."""
    if entry.is_folder:
        return "link" if entry.path.is_symlink() else "folder"
    try:
        target = entry.path.resolve(strict=True)
        if not target.is_relative_to(home):
            return "outside"
        return digests.of_file(target) if stat.S_ISREG(target.stat().st_mode) else "special"
    except (OSError, RuntimeError):
        return "unreadable"
