"""Nothing in the product unpickles, evaluates or runs what it reads: its syntax trees are read here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PRODUCT = ("synaug_core", "synaug", "tasks", "flows", "deployments")
MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "pty", "telnetlib", "xml"}
CALLS = {
    "eval", "exec", "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle", "torch.jit.load", "torch.hub.load",
    "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all", "np.fromregex",
    "shutil.unpack_archive", "tempfile.mktemp",
}  # fmt: skip
METHODS = {"extractall"}


def unsafe(source: str) -> Iterator[str]:
    """What a module does that it must not, each with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (f"{node.lineno}: import {a.name}" for a in node.names if a.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield f"{node.lineno}: from {node.module} import"
        elif isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            if (
                name in CALLS
                or (isinstance(node.func, ast.Attribute) and node.func.attr in METHODS)
                or (name == "torch.load" and given.get("weights_only") != "True")
                or (name in {"np.load", "numpy.load"} and given.get("allow_pickle") != "False")
                or (name == "yaml.load" and given.get("Loader") != "_Loader")
                or given.get("shell") not in (None, "False")
                or given.get("trust_remote_code") not in (None, "False")
                or given.get("verify") == "False"
            ):
                yield f"{node.lineno}: {name}"


def test_the_product_calls_nothing_unsafe(root: Path) -> None:
    files = [file for folder in PRODUCT for file in sorted((root / folder).rglob("*.py"))]
    assert len(files) > 200
    found = {str(f.relative_to(root)): list(unsafe(f.read_text(encoding="utf-8"))) for f in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from joblib import load", "eval('1')", "torch.load(p)", "torch.load(p, weights_only=False)",
        "np.load(p)", "np.load(p, allow_pickle=True)", "yaml.load(t, Loader=yaml.Loader)",
        "subprocess.run(c, shell=True)", "z.extractall(p)", "requests.get(u, verify=False)",
        "AutoModel.from_pretrained(n, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_unsafe_calls_are_found(text: str) -> None:
    assert len(list(unsafe(text))) == 1


def test_yaml_is_read_by_a_safe_loader_that_makes_plain_values() -> None:
    from ruamel.yaml.constructor import SafeConstructor

    from synaug_core.config import yaml_text

    assert issubclass(yaml_text._Constructor, SafeConstructor)
    assert not any("python" in str(tag) for tag in yaml_text._Constructor.yaml_constructors)
