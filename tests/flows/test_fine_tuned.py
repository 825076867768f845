"""A whole retraining with `classifier.training: fine_tuned`: few images, small ones, a small network, every stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
from safetensors.torch import save_file

from synaug_core.seeds import seeded_init


@pytest.fixture(scope="module")
def fine_tuned(
    tiny: Callable[..., Any],
    retrain: Callable[..., Any],
    runs_of: Callable[[str], list[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Any, Any, Any]:
    weights_file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    with seeded_init(1):
        save_file(timm.create_model("test_efficientnet").state_dict(), weights_file)
    config = tiny(
        "fine_tuned",
        data={"classes": [0, 1], "long_tail": None, "per_class": {"1": 6, "default": 9}},
        arms=["original", "combined", "mixup"],
        repetitions=1,
        classifier={
            "training": "fine_tuned",
            "backbone": "test_efficientnet",
            "weights_file": str(weights_file),
            "input_size": 32,
            "steps": 12,
            "batch_size": 8,
            "evaluate_every": 6,
        },
        tuning={"arms": ["combined"]},
        robustness={"images": 6},
    )
    said = retrain(config)
    assert said.code == 0, said.err
    [run] = runs_of("fine_tuned")
    return config, said, run


def test_every_stage_is_done_and_the_model_serves(fine_tuned: Any, synaug: Any, tmp_path: Any) -> None:
    _, said, run = fine_tuned
    assert {r.info.status for r in run.all()} == {"FINISHED"}
    assert list(said.outcome["arms"]) == ["original", "combined", "mixup"]
    assert said.outcome["model"]["alias"] == "champion"
    for arm in said.outcome["arms"].values():
        assert arm["test/balanced_accuracy"]["mean"] > 0.6
    exported = synaug("export", run.info.run_id, tmp_path / "exported")
    assert exported.code == 0, exported.err


def test_it_says_how_it_was_trained(fine_tuned: Any) -> None:
    _, said, run = fine_tuned
    assert not [note for note in said.outcome["notes"] if "not tried" in note]
    [page] = run.place.parents[1].glob("*/artifacts/comparison.html")
    text = page.read_text()
    assert (
        "test_efficientnet from the pretrained weights of a file, shown images of 32 × 32 pixels, and fine-tuned"
        in text
    )
    for repetition in run.of("repetition"):
        assert repetition.params["training"] == "fine_tuned"
        assert repetition.metrics["steps"] == 12


def test_its_own_range_of_rates_is_searched(fine_tuned: Any) -> None:
    _, _, run = fine_tuned
    rates = [float(trial.params["learning_rate"]) for trial in run.of("trial")]
    assert len(set(rates)) == 2
    assert all(1e-4 <= rate <= 5e-3 for rate in rates)


def test_again_nothing_is_trained(fine_tuned: Any, retrain: Callable[..., Any]) -> None:
    config, said, _ = fine_tuned
    again = retrain(config)
    assert again.code == 0, again.err
    assert again.outcome["cached_steps"] == again.outcome["steps"]
    assert again.outcome["arms"] == said.outcome["arms"]
