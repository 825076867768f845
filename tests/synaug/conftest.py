from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from scripts.backup.home import restore_home


@pytest.fixture(params=["0.1.0"])
def old_home(request: pytest.FixtureRequest, root: Path, tmp_path: Path, home: Path) -> Path:
    """The folder of what an earlier version answered; its home is SYNAUG_HOME."""
    with tarfile.open(root / "tests" / "homes" / f"{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path / "old", filter="data")
    restore_home(tmp_path / "old" / "home", home)
    return tmp_path / "old" / "expected"
