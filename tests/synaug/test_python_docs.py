"""The examples of docs/python.md, as a script and as a notebook."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def examples(root: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (root / "docs" / "python.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_as_a_script_at_top_level(examples: list[str], home: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("\n".join(examples))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "unknown key repetition" in done.stdout
    assert "Traceback" not in done.stderr
    assert home.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "script.py"]


@pytest.mark.slow
def test_as_a_notebook(examples: list[str], home: Path, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    cells = [*examples, examples[0], "assert outcome.record.cached_steps == outcome.record.steps"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    NotebookClient(notebook, timeout=280, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    pages = [output["data"] for output in notebook.cells[1].outputs if output["output_type"] == "execute_result"]
    assert "synthetic" in pages[0]["text/html"]


def test_the_first_steps_run(root: Path, home: Path, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(root / "examples" / "first-steps.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are made by who runs it"
    NotebookClient(notebook, timeout=280, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output["data"] for output in outputs if output["output_type"] == "execute_result"]
    assert "combined" in shown[0]["text/html"]
    assert Path(shown[1]["text/plain"].split("'")[1]).name == "comparison.html"
    assert "image/png" in shown[2]
    printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    assert "No gain shown" in printed
    assert "- Keep " in printed
