"""The pages of the configuration are those that its sections give."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.reference import PAGES


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_up_to_date(root: Path, name: str) -> None:
    assert (root / "docs" / name).read_text(encoding="utf-8") == PAGES[name](), "run `make reference`"
