"""What happens to a class while it is trained beside others."""

import dataclasses
import math

import pytest
import torch

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig, VAEConfig
from synaug_core.errors import ConfigError, DeadlineError
from synaug_core.generators import class_vae
from synaug_core.generators.base import FitJob
from synaug_core.generators.class_vae import ClassVAE
from synaug_core.nets.vae import ConvVAE
from synaug_core.seeds import stream
from synaug_core.testing.conformance import make_images

CPU = torch.device("cpu")


def fit(config, images, *, seed=3, **options):
    generator = ClassVAE(config, images.classes, images.channels, images.size)
    return generator.fit(images, FitJob(seed=seed, device=CPU, **options))


class StopError(Exception):
    pass


def stop_after(calls):
    def progress(done, total, **values):
        nonlocal calls
        calls -= 1
        if calls == 0:
            raise StopError

    return progress


def test_loop_and_stack_agree(small):
    images = make_images({"a": 14, "b": 3, "c": 40}, 3, 19)
    mirrored = small.model_copy(update={"augment": "mirror"})
    one, other = (
        fit(mirrored.model_copy(update={"vae": VAEConfig(execution=e)}), images).reports for e in ("loop", "stack")
    )
    for name in images.classes:
        for a, b in zip(one[name].curves, other[name].curves, strict=True):
            assert a.model_dump(exclude_none=True) == pytest.approx(b.model_dump(exclude_none=True), rel=1e-3)
        assert one[name].kl_per_unit == pytest.approx(other[name].kl_per_unit, rel=2e-2, abs=1e-3)


def test_stacks_that_the_memory_holds_agree_with_one_stack(small, monkeypatch, tmp_path):
    """Also where an interrupted fit goes on with more memory than it began with."""
    config = small.model_copy(update={"vae": VAEConfig(execution="stack"), "validation_share": 0.0})
    images = make_images({"a": 14, "b": 3, "c": 40, "d": 9, "e": 12}, 1, 16)
    whole = fit(config, images)
    saved = Checkpoint(tmp_path / "state", interval=0)
    monkeypatch.setattr(class_vae, "_classes_at_once", lambda *_: 2)
    with pytest.raises(StopError):
        fit(config, images, checkpoint=saved, progress=stop_after(2))
    stacks = torch.load(saved.path, weights_only=True)["run"]["executor"]["stacks"]
    assert [stack["names"] for stack in stacks] == [["a", "b"], ["c", "d"], ["e"]]
    parts = fit(config, images)
    monkeypatch.setattr(class_vae, "_classes_at_once", lambda *_: None)
    for other in (parts, fit(config, images, checkpoint=saved)):
        for name in images.classes:
            for a, b in zip(whole.reports[name].curves, other.reports[name].curves, strict=True):
                assert a.model_dump(exclude_none=True) == pytest.approx(b.model_dump(exclude_none=True), rel=1e-3)


def test_the_memory_of_a_class_grows_with_what_it_holds(small):
    def size(side: int = 16, **changes: int) -> int:
        config = small.model_copy(update=changes)
        model = ConvVAE(1, side, config.width, config.latent_dim)
        weights = sum(p.numel() for p in model.parameters())
        taken = class_vae._bytes_of_a_class(model, config)
        assert taken > 24 * weights + 4 * 2 * config.batch_size * side**2
        return taken

    assert size() < size(batch_size=2 * small.batch_size) < size(32, batch_size=2 * small.batch_size)
    assert size() < size(width=2 * small.width)


@pytest.mark.parametrize("execution", ["loop", "stack"])
def test_nan_in_one_class_leaves_the_others_equal(small, execution, tmp_path):
    """The state of one class is poisoned between two evaluations, as a numerical accident would."""
    config = small.model_copy(update={"vae": VAEConfig(execution=execution)})
    images = make_images({"a": 14, "bad": 12, "c": 12}, 1, 16)
    undisturbed = fit(config, images)
    kept = Checkpoint(tmp_path / "state", interval=0)
    with pytest.raises(StopError):
        fit(config, images, checkpoint=kept, progress=stop_after(1))
    state = torch.load(kept.path, weights_only=True)
    executor = state["run"]["executor"]
    if execution == "loop":
        executor["bad"]["model"]["encoder.head.weight"].fill_(math.nan)
    else:
        [stack] = executor["stacks"]
        stack["parameters"]["encoder.head.weight"][stack["names"].index("bad")] = math.nan
    torch.save(state, kept.path)
    poisoned = fit(config, images, checkpoint=kept)
    assert poisoned.reports["bad"].status == "diverged"
    assert poisoned.reports["bad"].best_step == 4
    assert all(math.isfinite(p.loss) for p in poisoned.reports["bad"].curves)
    assert int(poisoned.sample(4, "bad", seed=1).max()) > 0
    for name in ("a", "c"):
        assert poisoned.reports[name].status == "finished"
        losses = [[p.loss for p in g.reports[name].curves] for g in (undisturbed, poisoned)]
        assert losses[0] == pytest.approx(losses[1], rel=0 if execution == "loop" else 1e-4)


def test_a_fit_that_diverges_at_once_keeps_its_first_weights(small):
    generator = fit(small.model_copy(update={"learning_rate": 1e30}), make_images({"a": 12}, 1, 16))
    assert generator.reports["a"].status == "diverged"
    assert generator.reports["a"].best_step == 0
    assert all(bool(w.isfinite().all()) for w in generator.model("a").state_dict().values())


def test_early_stop_keeps_the_best_weights_and_frees_the_others():
    config = GeneratorConfig(
        steps=300, evaluate_every=10, patience=2, vae=VAEConfig(warmup=0.02), width=4, latent_dim=8, learning_rate=1e-2
    )
    images = make_images({"few": 12, "none held out": 4}, 1, 16)
    calls = []
    report = fit(config, images, progress=lambda done, total, **v: calls.append((done, total, v))).reports
    few = report["few"]
    assert few.status == "early stop"
    assert few.steps < 300
    assert few.best_step == min((p.held_out_loss, p.step) for p in few.curves)[1] >= 10
    assert report["none held out"].status == "finished"
    assert report["none held out"].best_step == 300
    assert report["none held out"].curves[-1].held_out_loss is None
    assert calls[-1][:2] == (300, 300)
    assert {values["training"] for *_, values in calls} == {2.0, 1.0, 0.0}


def test_no_weights_of_the_warm_up_are_kept():
    """An early stop within it would keep a blur: the best loss of few images often comes in the first steps."""
    config = GeneratorConfig(
        steps=120, evaluate_every=10, patience=2, vae=VAEConfig(warmup=0.5), width=8, latent_dim=8, learning_rate=3e-3
    )
    images = make_images({"a": 12}, 1, 16)
    noise = torch.randint(0, 256, images.images.shape, dtype=torch.uint8, generator=stream(1))
    report = fit(config, dataclasses.replace(images, images=noise)).reports["a"]
    assert min((p.held_out_loss, p.step) for p in report.curves)[1] < 60
    assert report.best_step >= 60


def test_training_lowers_the_loss_and_uses_the_latent_space():
    config = GeneratorConfig(steps=120, evaluate_every=20, width=8, latent_dim=8, learning_rate=3e-3)
    report = fit(config, make_images({"a": 60}, 1, 16)).reports["a"]
    assert report.curves[-1].held_out_loss < report.curves[0].held_out_loss - 100
    assert report.active_units > 0
    assert not report.collapsed


def test_a_collapsed_latent_space_is_reported(small):
    config = small.model_copy(update={"vae": VAEConfig(beta=1e4, warmup=0.0), "steps": 40, "learning_rate": 1e-2})
    report = fit(config, make_images({"a": 12}, 1, 16)).reports["a"]
    assert report.active_units == 0
    assert report.collapsed
    assert report.metrics("a")["collapsed/a"] == 1


def test_one_image_is_no_collapse(small):
    assert not fit(small, make_images({"a": 1}, 1, 16)).reports["a"].collapsed


@pytest.mark.parametrize(("variance", "seen"), [(0.05, {0.05}), ("learned", None)])
def test_variance_is_fixed_or_learned(small, variance, seen):
    report = fit(small.model_copy(update={"vae": VAEConfig(variance=variance)}), make_images({"a": 12}, 1, 16)).reports[
        "a"
    ]
    values = {round(p.variance, 9) for p in report.curves}
    assert values == seen if seen else len(values) == len(report.curves)
    if not seen:
        assert report.curves[-1].variance == pytest.approx(report.curves[-1].held_out_error)


def test_another_training_s_checkpoint_is_not_taken_up(small, tmp_path):
    images = make_images({"a": 12}, 1, 16)
    kept = Checkpoint(tmp_path / "state", interval=0)
    with pytest.raises(StopError):
        fit(small, images, seed=1, checkpoint=kept, progress=stop_after(2))
    fresh = fit(small, images, seed=2)
    assert torch.equal(fit(small, images, seed=2, checkpoint=kept).sample(3, "a", seed=0), fresh.sample(3, "a", seed=0))


def test_deadline(small):
    with pytest.raises(DeadlineError, match="of 12 steps"):
        fit(small, make_images({"a": 12}, 1, 16), deadline=0.0)


def test_images_too_small_for_the_network_are_refused(small):
    with pytest.raises(ConfigError, match="8 px"):
        fit(small, make_images({"a": 12}, 1, 7))


def test_more_images_than_one_evaluation_looks_at(small):
    config = small.model_copy(update={"steps": 4, "validation_share": 0.45})
    report = fit(config, make_images({"a": 700}, 1, 16)).reports["a"]
    assert report.held_out == 315
    assert math.isfinite(report.curves[0].held_out_loss)
