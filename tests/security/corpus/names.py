"""Hostile names, of classes and of anything else."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

from corpus.cases import Case
from corpus.pictures import class_folders

NAMES = (
    "..", "../..", "../../etc/passwd", "/etc/passwd", "a/../../b", "..\\..\\windows", "C:\\con", "con", "NUL",
    "aux.txt", "~", "~root", "$HOME", "${PATH}", "`touch TRAP`", "$(touch TRAP)", "; touch TRAP", "| touch TRAP",
    "&& touch TRAP", "-rf", "--set", "*", "?", "[a-z]", "{}", "{0}", "{__class__}", "{0.__class__.__mro__}", "%s%s%s%n",
    "%(x)s", "%d", "$x_1^2$", "$\\frac{1}{0}$", "$", "$$", "\\alpha", "\\input{/etc/passwd}",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "javascript:alert(1)",
    "</title>", "<!--", "]]>", "&amp;", "'; DROP TABLE runs; --", "' OR '1'='1", "a\x00b", "a\nb", "a\r\nb", "a\tb",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x07", "\x7f", "\x85", "\u2028", "\u202eevil\u202c", "\u200b", "\ufeff",
    "\u0301", "e\u0301", "é", "ﬁ", "İ", "ß", "😀", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "中文", "العربية", "עברית", "ﷺ", "Z̸̢͠a̵l̶g̷o̴",
    "a" * 300, "é" * 120, "😀" * 60, " ", "  ", " a ", ".", ".hidden", "...", "a.", "train", "test", "val", "TRAIN",
    "weights", "spec.json", "__class__", "__init__", "null", "true", "nan", "inf", "0", "-1", "1e999",
    "=cmd|'/c calc'!A1", "+1+1", "@SUM(1)", "#", "None", "self", "x" * 64,
)  # fmt: skip
MOST_NAME = 255


def class_names(rng: random.Random) -> Iterator[Case]:
    for n, name in enumerate(NAMES):
        yield Case("name", f"name-{n}", {}, (name,))
        if "/" not in name and "\0" not in name and name not in (".", "..") and len(os.fsencode(name)) <= MOST_NAME:
            yield Case("folder", f"class-{n}", class_folders({name: 10, "ordinary": 10}))
