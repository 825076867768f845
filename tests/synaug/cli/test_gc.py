from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synaug.cli.commands.upkeep import _bytes
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.runs import finish, open_run, recording
from synaug_core.services.retention.rule import Policy
from synaug_core.services.settings import settings

Command = Callable[..., Any]


def test_a_home_without_runs_has_nothing_to_delete(synaug: Command) -> None:
    said = synaug("gc", "--yes")
    assert (said.code, said.out) == (0, "nothing to delete\n"), said.err


def test_what_cannot_be_is_refused(synaug: Command) -> None:
    assert synaug("gc", "--keep", "-1").code == 2
    said = synaug("gc", "nothing-of-this-name")
    assert said.code == 2
    assert said.err == "synaug: there is no experiment 'synaug/nothing-of-this-name'; there are none\n"


def test_it_shows_first_and_deletes_when_asked(synaug: Command, home: Path) -> None:
    synaug("gc")  # sets the embedded default's variables
    current = settings()
    for number in range(3):
        with (
            recording(current, experiment="synaug/pets", key=str(number), stage="retrain", name="r") as parent,
            recording(
                current, experiment="synaug/pets", key="s", stage="synthesis", name="s", parent=parent.run
            ) as step,
        ):
            step.metrics({"images/cat": 1000})
            step.text("x" * 1_500_000, "images/synthetic.parquet")
    shown = synaug("gc", "--keep", "1", "--days", "0")
    assert shown.code == 0, shown.err
    row = next(line for line in shown.out.splitlines() if "synaug/pets" in line)
    assert re.findall(r"[\d.]+(?: MB)?", row) == ["2", "4", "2000", "3.0 MB"]
    assert "`--yes` deletes it" in shown.out
    assert len(list(home.rglob("*.parquet"))) == 3
    assert "nothing to delete" in synaug("gc").out  # the usual 30 days
    done = synaug("gc", "pets", "--keep", "1", "--days", "0", "--yes")
    assert done.out.splitlines()[-1] == "4 runs deleted, 3.0 MB freed"
    assert len(list(home.rglob("*.parquet"))) == 1
    number = client(current).get_experiment_by_name("synaug/pets").experiment_id
    assert len(client(current).search_runs([number])) == 2


def test_old_files_stay_where_a_retraining_began_meanwhile(synaug: Command, home: Path) -> None:
    from flows.cleaning import clean, plan_cleaning

    synaug("gc")
    copy = home / "cache" / "abc"
    copy.mkdir(parents=True)
    os.utime(copy, (1, 1))
    planned = plan_cleaning(Policy(0, 1))
    assert (planned.plan.removed, [left.path for left in planned.leftovers]) == ((), [copy])
    run = open_run(settings(), experiment="synaug/new", key="k", stage="retrain", name="r")
    assert clean(planned).busy == {"synaug/new": run.run_id}
    assert copy.is_dir()
    finish(run)
    assert clean(planned).busy == {}
    assert not copy.exists()


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (2_500, "2.5 kB"), (3_000_000_000, "3.0 GB")]
)
def test_sizes_in_words(size: int, words: str) -> None:
    assert _bytes(size) == words
