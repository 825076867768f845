"""A user's files with the names of synaug's packages, beside a script or a notebook that uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import synaug
import tasks.engine.recording, flows, deployments
print(tasks.__file__)
"""


def run(folder: Path, text: str, root: Path) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    code = f"import sys; sys.path.append({str(root)!r}); sys.path.insert(0, {str(folder)!r}); "
    code += "exec(compile(open('script.py').read(), 'script.py', 'exec'))"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text("raise SystemExit('the wrong tasks')")
    (tmp_path / "deployments.py").touch()
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").touch()
    return tmp_path


def test_synaug_loads_its_own_packages(beside: Path, root: Path) -> None:
    done = run(beside, SCRIPT, root)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == root / "tasks" / "__init__.py"


def test_a_module_that_was_loaded_before_is_named(beside: Path, root: Path) -> None:
    done = run(beside, "import deployments, synaug", root)
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: synaug has a package 'deployments', and ")
    assert last.endswith("deployments.py is loaded under that name; rename it")
