from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from synaug_core.config.load import load
from synaug_core.errors import ConfigError


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a folder `images` and a file `set.npz`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "set.npz").touch()
    return tmp_path


@pytest.fixture
def refusal() -> Callable[..., list[str]]:
    """The lines with which a source and overrides are refused."""

    def refused(source: str, *overrides: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(source, overrides)
        text = str(caught.value)
        for jargon in ("pydantic", "https://", "Input should", "validation error", "type=", "Value error"):
            assert jargon not in text
        return text.splitlines()

    return refused
