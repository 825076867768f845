from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from synaug_core.services import versions
from synaug_core.services.versions import environment, git_commit


def test_the_environment_names_what_a_result_depends_on():
    import torch

    found = environment(torch.device("cpu"))
    assert found["library/torch"] == torch.__version__.partition("+")[0]
    assert len(found["code_version"]) == 64
    assert found["device"].startswith("cpu")
    assert all(isinstance(v, str) and v for v in found.values())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path / "repo", check=True, capture_output=True)

    (tmp_path / "repo").mkdir()
    git("init", "-b", "main")
    git("commit", "--allow-empty", "-m", "first")
    git("worktree", "add", "../tree", "-b", "other")
    return tmp_path


def commit(folder: Path) -> str:
    words = ["git", "rev-parse", "HEAD"]
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_git_s_own(checkout: Path):
    repo, tree = checkout / "repo", checkout / "tree"
    assert git_commit(repo) == commit(repo)
    assert git_commit(tree) == commit(tree)
    git_commit.cache_clear()
    subprocess.run(["git", "pack-refs", "--all"], cwd=repo, check=True)
    assert git_commit(repo) == commit(repo)
    git_commit.cache_clear()
    subprocess.run(["git", "checkout", "-q", "--detach"], cwd=repo, check=True)
    assert git_commit(repo) == commit(repo)
    git_commit.cache_clear()


def test_no_checkout_has_no_commit(tmp_path: Path):
    assert git_commit(tmp_path) is None


def test_a_library_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(versions, "_LIBRARIES", ("numpy", "no-such-library"))
    versions.package_versions.cache_clear()
    assert list(versions.package_versions()) == ["numpy"]
    versions.package_versions.cache_clear()
