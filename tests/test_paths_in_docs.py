"""Files and folders that the glossary and the tour name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_PATH = re.compile(r"`((?:synaug|synaug_core|tasks|flows|deployments|docs|tests)/[\w./-]*)`")


@pytest.mark.parametrize("page", ["glossary", "tour"])
def test_named_places_exist(root: Path, page: str) -> None:
    paths = _PATH.findall((root / "docs" / f"{page}.md").read_text())
    assert len(paths) > 15
    assert [path for path in paths if not (root / path).exists()] == []
