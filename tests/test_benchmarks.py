"""The benchmarks that no other test runs: both sides do the same work, and the figures are what they are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import side_loop
from benchmarks.side_by_side import Comparison, Seconds, report, take_turns
from synaug_core.config import STANDARD_ARMS, Config

WORK = {"size": 16, "steps": 3, "augment": True, "backbone": "small_cnn", "width": 4}


def test_a_ratio_above_1_means_that_the_first_side_is_faster(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    order = []

    def side(name: str, seconds: float) -> Seconds:
        order.append(name)
        return Seconds(seconds, seconds / 2)

    row = take_turns("work", lambda: side("own", 1.0), lambda: side("peer", 3.0), rounds=3, amount=6, unit="steps/s")
    assert order == ["own", "peer", "peer", "own", "own", "peer"]
    assert (row.ratios(), row.ratios(1)) == ([3.0] * 3, [3.0] * 3)
    report("title", ("one", "other"), [row], tmp_path / "out.json", size=8)
    shown = capsys.readouterr().out
    assert "6.0 steps/s" in shown
    assert "2.0 steps/s" in shown
    assert "3.00x" in shown
    assert json.loads((tmp_path / "out.json").read_text())["rows"][0]["ratio"] == 3.0
    assert Comparison(**{k: v for k, v in row.as_dict().items() if "ratio" not in k}) == row


@pytest.mark.parametrize("folder", [False, True])
def test_both_loops_make_all_steps(folder: bool):
    own = side_loop.SynaugSide().train(**WORK, precision="float32")
    peer = side_loop.UserSide().train(**WORK, folder=folder, workers=0)
    assert own["steps"] == peer["steps"] == 3
    assert all(seconds > 0 for answer in (own, peer) for seconds in answer["seconds"])


@pytest.mark.parametrize("size", [16, 28, 64])
def test_the_user_s_network_has_the_shape_of_synaug_s(size: int):
    from synaug_core.nets.small_cnn import SmallCNN

    own, peer = SmallCNN(3, size, 8), side_loop.build_network("small_cnn", 3, 3, size, 8)
    shapes = [p.shape for p in peer.parameters()]
    assert [p.shape for p in own.parameters()] == shapes[:-2]
    assert shapes[-2:] == [torch.Size([3, own.features]), torch.Size([3])]


def test_the_plain_script_makes_every_training():
    from benchmarks import side_plain

    config = Config(
        data={"source": "digits", "classes": ["0", "1"], "long_tail": 4, "image_size": 16},
        arms=[STANDARD_ARMS["control"], STANDARD_ARMS["synthetic"]],
        repetitions=2,
        generator={"steps": 2, "width": 4},
        classifier={"steps": 2, "width": 4},
        tuning={"trials": 0},
    )
    answer = side_plain.run(config.model_dump(mode="json"))
    assert answer["trainings"] == 4
    assert 0 <= answer["accuracy"] <= 1
