"""`synaug turing` as a process of its own on a real store, in a real browser."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from synaug.cli.turing.serving import find_images
from synaug_core.errors import UserError
from synaug_core.services.mlflow.artifacts import fetch_uri
from synaug_core.services.mlflow.clients import client

Command = Callable[..., Any]


@contextmanager
def serving(*arguments: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command running, and the page's address."""
    code = "from synaug.cli.main import run_app; run_app()"
    command = [sys.executable, "-c", code, "turing", *map(str, arguments), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = []
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", "".join(lines))):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            lines.append(line)
        yield found[0], process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def counts(images: Any) -> dict[str, int]:
    return {name: n for name, n in images.counts().items() if n}


def test_images_are_found(at_store: Any) -> None:
    current = at_store.settings
    whole = find_images(current, at_store.top)
    assert counts(whole.synthetic_images) == {"EOSINOPHIL": 9, "Ä <b>&": 9, "../../etc": 9}  # of both groups of classes
    assert whole.run.run_id == at_store.arms["strong"]  # the best one that is no control
    assert counts(whole.train) == counts(at_store.train)
    assert whole.name == "cells: arm arm/strong"
    weak = find_images(current, at_store.top, "weak")
    assert (counts(weak.synthetic_images), weak.run.run_id) == ({"EOSINOPHIL": 9}, at_store.arms["weak"])
    assert find_images(current, at_store.top, "copies").run.run_id == at_store.arms["copies"]
    assert find_images(current, at_store.arms["weak"]).run.run_id == at_store.arms["weak"]
    one = find_images(current, at_store.synthesis[1][:12])
    assert (counts(one.synthetic_images), one.run.run_id) == ({"Ä <b>&": 9, "../../etc": 9}, at_store.synthesis[1])


def test_reused_images_and_folds_are_found(at_store: Any) -> None:
    current = at_store.settings
    again = find_images(current, at_store.reusing)
    assert counts(again.synthetic_images) == {"EOSINOPHIL": 9, "Ä <b>&": 9, "../../etc": 9}
    assert counts(again.train) == counts(at_store.train)
    assert find_images(current, at_store.reused).run.run_id == at_store.reused
    first, second = find_images(current, at_store.folds), find_images(current, at_store.fold)
    assert counts(first.synthetic_images) == counts(second.synthetic_images) == {"EOSINOPHIL": 9}
    assert counts(first.train) == counts(at_store.train)
    assert counts(second.train) == {"EOSINOPHIL": 5, "Ä <b>&": 5}  # that fold's own


def test_what_cannot_be_found(at_store: Any) -> None:
    for run, arm, reason in [
        ("0" * 32, None, "there is no run '0000"),
        ("no such id", None, "is not the id of a run"),
        ("abc", None, "is not the id of a run"),
        ("%%%%", None, "is not the id of a run"),
        (at_store.top, "nothing", "--arm: there is no arm 'nothing'; arms with synthetic images: "),
        (at_store.top, "original", "--arm: the arm 'original' has no synthetic images; arms with synthetic images: "),
        (at_store.top, "void", "has no synthetic images: none was planned, or none passed"),
        (at_store.synthesis[0], "weak", "--arm: "),
        (at_store.empty, None, "has no finished arm with synthetic images"),
        (at_store.orphan, None, "belongs to no retraining"),
    ]:
        with pytest.raises(UserError, match=re.escape(reason)):
            find_images(at_store.settings, run, arm)


def test_a_beginning_of_several_ids(at_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synaug.cli.stored._SHORTEST", 1)
    mlflow = client(at_store.settings)
    ids = [run.info.run_id for run in mlflow.search_runs([e.experiment_id for e in mlflow.search_experiments()])]
    first = next(c for c in "0123456789abcdef" if sum(i.startswith(c) for i in ids) > 1)
    with pytest.raises(UserError, match="is the beginning of several ids"):
        find_images(at_store.settings, first)


def test_users_errors_are_one_line(at_store: Any, synaug: Command) -> None:
    for arguments, reason in [
        (("0" * 32,), "there is no run"),
        ((at_store.top, "--result"), "there are no answers yet"),
        ((at_store.top, "--images", "1"), "--images"),
        ((at_store.top, "--port", "70000"), "--port"),
    ]:
        said = synaug("turing", *arguments, "--no-browser")
        assert said.code == 2
        assert reason in re.sub(r"\x1b\[[0-9;]*m", "", said.err)


def test_a_test_without_an_answer_records_nothing(at_store: Any) -> None:
    with serving(at_store.arms["weak"], "--images", 4) as (_, process):
        code, out, err = end(process)
    assert code == 0
    assert out.splitlines()[-1] == "there are no answers; nothing was recorded"
    assert "answers:" not in err


def test_from_the_first_key_to_the_run(at_store: Any, chromium: Callable[[], Any], synaug: Command) -> None:
    """Two people answer in the browser; one stops, comes back after a restart, and the result lies at the run."""
    with serving(at_store.top, "--images", 12) as (url, process):
        page = chromium()
        page.open(url)
        page.type("Ann")
        page.press("Enter")
        page.until("shownAt > 0")
        assert page.evaluate("at('undo').disabled")
        assert page.evaluate("getComputedStyle(at('image')).imageRendering") == "pixelated"
        assert page.evaluate("at('image').clientWidth % at('image').naturalWidth") == 0
        sides = {
            "bright": "(() => { const c = document.createElement('canvas').getContext('2d'); "
            "c.drawImage(at('image'), 0, 0); return c.getImageData(1, 1, 1, 1).data[0] > 120; })()"
        }
        for number, keys in enumerate([("r", "s"), ("ArrowLeft", "ArrowRight"), ("R", "S")] * 2):
            page.until(f"shownAt > 0 && at('count').textContent === '{number + 1} of 12'")
            page.press(keys[bool(page.evaluate(sides["bright"]))])
        page.until("shownAt > 0 && at('count').textContent === '7 of 12'")
        page.press("u")
        page.until("shownAt > 0 && at('count').textContent === '6 of 12'")
        code, out, err = end(process)
        assert code == 0, err
        assert "One person told real and synthetic images apart in 100 % of cases" in out
        page.press("r")  # the server is gone
        page.until("!at('trouble').hidden && at('trouble').textContent.includes('is kept')")
    with serving(at_store.top, "--rater", "Ann") as (url, process):  # the same test without saying so
        said = synaug("turing", at_store.top, "--no-browser")
        assert (said.code, "shows these images already" in said.err) == (2, True)
        port = url.rstrip("/").rpartition(":")[2]
        said = synaug("turing", at_store.synthesis[1], "--no-browser", "--port", port)
        assert (said.code, f"--port: {port} cannot be used (address already in use)" in said.err) == (2, True)
        page.open(url)
        for number in range(5, 12):
            page.until(f"shownAt > 0 && at('count').textContent === '{number + 1} of 12'")
            bright = page.evaluate(sides["bright"])
            page.evaluate(f"at('{'synthetic' if bright else 'real'}').click()")
        page.until("!at('end').hidden")
        assert page.evaluate("at('sentence').textContent").startswith("You told real and synthetic images apart in 100")
        other = chromium()
        other.open(url)  # Ann is done: she sees her result, and lets somebody else answer
        other.until("!at('end').hidden")
        other.evaluate("at('next').click()")
        other.type("Bo <b>")
        other.press("Enter")
        for number in range(12):
            other.until(f"shownAt > 0 && at('count').textContent === '{number + 1} of 12'")
            other.press("s")
        other.until("!at('end').hidden")
        wait_for_metric(at_store, "turing/raters", 2)  # before the server ends
        code, out, err = end(process)
        assert code == 0, err
        assert "Bo <b> has answered all 12 images" in out
        # no script was stopped, nothing was missing but the server that was ended
        assert [line for line in page.logged + other.logged if "ERR_CONNECTION_REFUSED" not in line] == []
    run = client(at_store.settings).get_run(at_store.arms["strong"])
    found = run.data.metrics
    assert found["turing/accuracy"] == 0.75
    assert found["turing/accuracy/low"] < 0.75 < found["turing/accuracy/high"]
    assert found["turing/d_prime"] > 1
    assert found["turing/kappa"] == 0
    assert run.data.tags["synaug.turing"].startswith("Two people told real and synthetic images apart in 75 % of")
    assert run.info.status == "FINISHED"
    folder = at_store.home / "fetched"
    fetched = fetch_uri(at_store.settings, f"{run.info.artifact_uri}/turing", folder)
    assert len(json.loads((fetched / "answers.json").read_text())) == 24
    told = (fetched / "result.html").read_text()
    assert "Real images taken for synthetic ones" not in told  # by one of two is not by most
    assert "Bo &lt;b&gt;" in told
    assert json.loads((fetched / "result.json").read_text())["verdict"] == "distinguishable"
    again = synaug("turing", at_store.top, "--result")
    assert (again.code, again.out) == (0, run.data.tags["synaug.turing"] + "\n")
    mlflow = client(at_store.settings)
    history = mlflow.get_metric_history(run.info.run_id, "turing/accuracy")
    assert len({(m.step, m.value) for m in history}) == len(history)  # written again, it leaves one trace


def wait_for_metric(store: Any, name: str, value: float) -> None:
    mlflow, limit = client(store.settings), time.monotonic() + 60
    while (found := mlflow.get_run(store.arms["strong"]).data.metrics).get(name) != value:
        assert time.monotonic() < limit, found
        time.sleep(0.2)
