"""Which version was champion when, and why, as the command shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synaug_core.services.mlflow.runs import open_run
from synaug_core.services.models import registry
from synaug_core.services.settings import settings
from tests.versions import add_version

NAME = "synaug-cells"
Command = Callable[..., Any]


@pytest.fixture
def command(synaug: Command, home: Path) -> Command:
    """With three versions registered."""
    for key in ("one", "two", "three"):
        run = open_run(settings(), experiment="synaug/cells", key=key, stage="s", name=key)
        add_version(settings(), NAME, run, key)
    return synaug


def test_a_history(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    said = command("models", "history", NAME)
    assert said.out == f"{NAME} has had no champion yet; `synaug models promote {NAME} VERSION` makes one\n"
    assert json.loads(command("models", "history", NAME, "--json").out) == []
    registry.promote(settings(), NAME, "1", why="balanced accuracy 0.80, no champion before")
    assert command("models", "promote", NAME, "2", "--why", "seen on the ward", "--expect", "1").code == 0
    assert command("models", "rollback", NAME, "--why", "worse at night").code == 0
    found = json.loads(command("models", "history", NAME, "--json").out)
    assert [(row["champion"], row["how"], row["by"], row["why"]) for row in found] == [
        ("1", "rollback", "a person", "worse at night"),
        ("2", "promote", "a person", "seen on the ward"),
        ("1", "promote", "the gate", "balanced accuracy 0.80, no champion before"),
    ]
    assert found[0]["until"] is None
    assert found[1]["until"] == found[0]["since"]
    lines = command("models", "history", NAME).out.splitlines()
    assert "rolled back" in lines[3]
    assert "now" in lines[3]
    assert "worse at night" in lines[3]
    assert "balanced accuracy 0.80, no champion before" in lines[5]


def test_who_comes_second_is_told_in_one_line(command: Command) -> None:
    assert command("models", "promote", NAME, "1").code == 0
    assert command("models", "promote", NAME, "2", "--expect", "1").code == 0
    for arguments, outcome in [
        (("promote", NAME, "3", "--expect", "1"), "version 3 was not promoted"),
        (("rollback", NAME, "--expect", "1"), "nothing was rolled back"),
    ]:
        said = command("models", *arguments)
        assert said.code == 1
        assert said.err.startswith(f"synaug: {NAME}: version 2 is champion, not version 1 as expected; {outcome}")
        assert len(said.err.splitlines()) == 1
    again = command("models", "promote", NAME, "2", "--expect", "1")  # done twice is done once
    assert (again.code, again.out) == (0, f"{NAME}: version 2 is champion\n")
    said = command("models", "history", "nothing").err
    assert said == f"synaug: there is no registered model 'nothing'; registered are {NAME}\n"


@pytest.mark.parametrize(
    ("decision", "why", "expected"),
    [
        ("Not promoted: worse overall.", "seen", "promoted by a person: seen; the gate had refused: worse overall."),
        ("Not promoted: worse overall.", "", "promoted by a person; the gate had refused: worse overall."),
        ("Promoted: the first model.", "again", "promoted by a person: again; Promoted: the first model."),
        ("", "seen", "promoted by a person: seen"),
        ("", "", "promoted by a person"),
    ],
)
def test_a_list_says_why_a_person_overruled_the_gate(
    command: Command, monkeypatch: pytest.MonkeyPatch, decision: str, why: str, expected: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    if decision:
        registry.annotate(settings(), NAME, "1", {"synaug.decision": decision})
    assert command("models", "promote", NAME, "1", "--why", why).code == 0
    [row] = [line for line in command("models", "list", NAME).out.splitlines() if "champion" in line]
    assert row.split("│")[-2].strip() == expected


def test_reasons_are_shown_as_they_were_given(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert command("models", "promote", NAME, "1", "--why", "fix [/] of [val]").code == 0
    assert "fix [/] of [val]" in command("models", "history", NAME).out
    registry.annotate(settings(), NAME, "1", {"synaug.decision": "better on [test]"})
    said = command("models", "list")
    assert (said.code, "better on [test]" in said.out) == (0, True)
