"""Names that MLflow, S3 and file systems all take, the words that names consist of, and the time in names."""

import datetime as dt
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Set

__all__ = ["consists_of", "slug", "slugs", "time_text", "words_of"]

_LONGEST = 64
_HASH = 8
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")


def time_text() -> str:
    """The present minute where the user is, for the name of a run: `2026-11-30 22:45`."""
    return dt.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")


def slug(text: str) -> str:
    """Letters, digits, `-` and `_` only; never empty, never more than 64 characters; the same text, the same slug.

    Accents go, and what is neither letter nor digit becomes `-`. A name that loses letters gets a hash behind
    (`日本 A`: `A-` and 8 digits), one of which nothing would be left has its code points (`日本`: `u65e5-u672c`).
    """
    normalised = unicodedata.normalize("NFC", text)  # file systems differ in how they write one and the same letter
    apart = unicodedata.normalize("NFKD", text)
    slug_text = re.sub(r"[^A-Za-z0-9_-]+", "-", apart.encode("ascii", "ignore").decode()).strip("-")
    has_lost = any(c.isalnum() and not c.isascii() for c in apart)
    if not slug_text:
        slug_text = "-".join(f"u{ord(c):04x}" for c in normalised) or "x"
        has_lost = len(slug_text) > _LONGEST
    return _marked(slug_text, normalised) if has_lost else slug_text[:_LONGEST]


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A slug for each name, no two alike, whatever the order.

    Of names whose slugs collide, one that is its own slug keeps it; the others get a hash of themselves behind.
    """
    slug_by_name = {name: slug(name) for name in names}
    turn = 0  # a second one only where a name looks like another one's slug and hash
    while clashing := _alike(slug_by_name):
        slug_by_name |= {name: _marked(slug(name), f"{name}{chr(0) * turn}") for name in clashing}
        turn += 1
    return slug_by_name


def _alike(slug_by_name: dict[str, str]) -> list[str]:
    times = Counter(slug_by_name.values())
    return [name for name, short in slug_by_name.items() if times[short] > 1 and name != short]


def _marked(short: str, text: str) -> str:
    """`short`, cut where it has to be, and a hash of the text."""
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    return f"{short[: _LONGEST - _HASH - 1].rstrip('-')}-{mark}"


def words_of(name: str) -> list[str]:
    """`TrainSet_2`: train, set, 2; small letters."""
    return [word.casefold() for word in _WORD.findall(name)]


def consists_of(name: str, vocabulary: Set[str]) -> bool:
    """Whether a name has words, and none that is not in the vocabulary."""
    words = words_of(name)
    return bool(words) and set(words) <= vocabulary
