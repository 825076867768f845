"""How pip-audit's answer is read."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", Path(__file__).with_name("audit.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_vulnerabilities_fail(audit: ModuleType) -> None:
    bad = {
        "name": "a",
        "version": "1",
        "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}, {"id": "CVE-2", "fix_versions": []}],
    }
    code, lines = audit.verdict({"dependencies": [bad, {"name": "b", "version": "1", "vulns": []}]}, "")
    assert code == 1
    assert lines[:2] == ["a 1: CVE-1, mended in 2", "a 1: CVE-2, mended in no version yet"]
    assert lines[2] == "2 of 2 packages looked up, 1 with vulnerabilities"


def test_what_was_not_looked_up_is_not_called_clean(audit: ModuleType) -> None:
    code, lines = audit.verdict({"dependencies": [{"name": "a", "skip_reason": "not found"}]}, "")
    assert code == 0
    assert lines == ["0 of 1 packages looked up, 0 with vulnerabilities", "1 not looked up, such as a: not found"]


def test_no_answer_is_told(audit: ModuleType) -> None:
    assert audit.verdict(None, "no route") == (0, ["pip-audit could not be run here: no route"])
