from __future__ import annotations

import threading

import pytest
import torch

from synaug_core.checkpoints import Checkpoint
from synaug_core.classify import training as training_module
from synaug_core.classify.model import build
from synaug_core.classify.scores import macro_auc
from synaug_core.classify.training import Loop, TrainingJob, train
from synaug_core.classify.tuning import Pruned
from synaug_core.config import STANDARD_ARMS, ClassifierConfig
from synaug_core.data.imageset import concatenate
from synaug_core.errors import DataError, DeadlineError, DivergenceError

ORIGINAL, CONTROL = STANDARD_ARMS["original"], STANDARD_ARMS["control"]
SEEDS = {"init_seed": 3, "batch_seed": 4}


def _bytes(trained) -> list[bytes]:
    return [v.numpy().tobytes() for v in trained.model.state_dict().values()]


@pytest.mark.parametrize("arm", ["original", "control"])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_learns(make_set, quick, arm, channels):
    config = quick.model_copy(update={"steps": 60, "width": 8})
    data = {"channels": channels, "counts": (30, 12, 12)}
    made = train(TrainingJob(config, STANDARD_ARMS[arm], make_set(**data), make_set(**data, seed=1), **SEEDS))
    test = make_set(**data, seed=2)
    right = made.predict(test).argmax(1) == test.labels.numpy()
    assert right.mean() > 0.85
    assert made.history.best_score > 0.8
    assert made.history.evaluations[-1].train_loss < made.history.evaluations[0].train_loss


def test_steps_and_evaluations(make_set, quick):
    config = quick.model_copy(update={"steps": 20, "evaluate_every": 6, "patience": 50})
    shown, told = [], []
    made = train(
        TrainingJob(
            config,
            ORIGINAL,
            make_set(),
            make_set(seed=1),
            **SEEDS,
            progress=lambda done, total, **values: shown.append((done, total, sorted(values))),
            on_evaluation=lambda step, score: told.append((step, score)),
        )
    )
    assert [d for d, _, _ in shown] == list(range(1, 21))
    assert {t for _, t, _ in shown} == {20}
    assert shown[-1][2] == [
        *("train_loss", "val_balanced_accuracy", "val_balanced_loss", "val_loss", "val_macro_auc"),
    ]
    assert [e.step for e in made.history.evaluations] == [6, 12, 18, 20]
    assert told == [(e.step, e.val_balanced_accuracy) for e in made.history.evaluations]
    assert made.history.stopped_at == 20
    assert made.history.ended == "all steps"
    assert not made.model.training


def test_the_weights_of_the_largest_area_are_kept_where_asked_for(make_set, quick):
    config = quick.model_copy(update={"steps": 40, "learning_rate": 0.02, "patience": 50, "keep": "val_macro_auc"})
    val = make_set(seed=1)
    made = train(TrainingJob(config, ORIGINAL, make_set(), val, **SEEDS))
    areas = {e.step: e.val_macro_auc for e in made.history.evaluations}
    assert made.history.best_step == max(areas, key=areas.get)
    again = macro_auc(torch.from_numpy(made.predict(val)).log(), val.labels)
    assert again == pytest.approx(areas[made.history.best_step], abs=0.01)


@pytest.mark.parametrize("normalisation", ["clean", "trained", "split"])
@pytest.mark.parametrize("keep", ["val_loss", "val_balanced_loss", "average", "last"])
def test_what_is_kept_has_the_scores_of_its_step(make_set, quick, keep, normalisation):
    update = {"steps": 40, "learning_rate": 0.02, "keep": keep, "normalisation": normalisation}
    val = make_set(counts=(9, 3), seed=1)
    made = train(TrainingJob(quick.model_copy(update=update), ORIGINAL, make_set(), val, **SEEDS))
    figure = keep if keep.startswith("val_") else "val_loss"
    losses = {e.step: getattr(e, figure) for e in made.history.evaluations}
    best_step = min(losses, key=losses.get) if keep.startswith("val_") else 40
    assert made.history.best_step == best_step
    assert made.history.stopped_at == 40
    log_likelihood = torch.from_numpy(made.predict(val)).double().log()
    weight = torch.tensor([1 / 9, 1 / 3]).double() if figure == "val_balanced_loss" else None
    again = torch.nn.functional.nll_loss(log_likelihood, val.labels, weight=weight).item()
    assert again == pytest.approx(losses[best_step], rel=1e-4)


def test_the_average_is_that_of_the_last_quarter(make_set, quick):
    config = quick.model_copy(update={"keep": "average", "normalisation": "trained"})
    loop = Loop.start(TrainingJob(config, CONTROL, make_set(), make_set(seed=1), 3, 4, torch.device("cpu")))
    weights = []
    while loop.step < config.steps:
        loop.advance()
        weights.append({k: v.clone() for k, v in loop.model.state_dict().items()})
    loop.evaluate()
    for name, value in weights[-1].items():
        if value.is_floating_point():
            mean = torch.stack([step[name] for step in weights[18:]]).mean(0)
            torch.testing.assert_close(loop.best[name], mean)
        torch.testing.assert_close(loop.model.state_dict()[name], value, rtol=0, atol=0)


def test_all_steps_are_made_unless_patience_says_otherwise(make_set, quick):
    val = make_set(counts=(10, 10), seed=1)
    val.labels.copy_(1 - val.labels)  # what is learnt makes these worse
    made = train(TrainingJob(quick, ORIGINAL, make_set(), val, **SEEDS))
    assert made.history.best_step < made.history.stopped_at == quick.steps


def test_early_stop(make_set, quick):
    config = quick.model_copy(update={"steps": 500, "evaluate_every": 2, "patience": 3, "learning_rate": 0.05})
    shuffled = make_set(counts=(20, 20))
    val = make_set(counts=(10, 10), seed=1)
    wrong = val.take(range(20))
    wrong.labels.copy_(1 - val.labels)  # what is learnt makes these worse
    made = train(TrainingJob(config, ORIGINAL, shuffled, wrong, **SEEDS))
    assert made.history.ended == "early stop"
    since = [e for e in made.history.evaluations if e.step > made.history.best_step]
    assert len(since) == 3
    assert made.history.stopped_at == made.history.evaluations[-1].step < 500


def test_without_validation_images(make_set, quick):
    told = []
    val = make_set().take([])
    made = train(TrainingJob(quick, ORIGINAL, make_set(), val, **SEEDS, on_evaluation=lambda *a: told.append(a)))
    assert made.history.ended == "no validation images"
    assert made.history.best_step == made.history.stopped_at == quick.steps
    assert made.history.best_score is None
    assert not told


def test_same_seeds_same_bytes_and_the_global_stream_is_left_alone(make_set, quick):
    before = torch.random.get_rng_state()
    one = train(TrainingJob(quick, CONTROL, make_set(), make_set(seed=1), **SEEDS))
    two = train(TrainingJob(quick, CONTROL, make_set(), make_set(seed=1), **SEEDS))
    assert _bytes(one) == _bytes(two)
    assert torch.equal(before, torch.random.get_rng_state())
    assert _bytes(
        train(TrainingJob(quick, CONTROL, make_set(), make_set(seed=1), init_seed=3, batch_seed=5))
    ) != _bytes(one)


def test_threads_do_not_disturb_each_other(make_set, quick):
    alone = _bytes(train(TrainingJob(quick, CONTROL, make_set(), make_set(seed=1), **SEEDS)))
    found: list[list[bytes]] = []

    def work() -> None:
        torch.set_num_threads(1)
        found.append(_bytes(train(TrainingJob(quick, CONTROL, make_set(), make_set(seed=1), **SEEDS))))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [alone] * 3


def test_all_arms_start_from_the_same_function(make_set, quick, monkeypatch):
    made = []

    def spy(*args, **kwargs):
        made.append(build(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(training_module, "build", spy)
    config = quick.model_copy(update={"steps": 1, "learning_rate": 1e-30})
    real = make_set()
    fake = make_set(seed=9)
    fake = type(fake)(fake.images, fake.labels, fake.classes, fake.ids, fake.groups, ('{"generator": "vae"}',) * 20)
    for name, data in (("original", real), ("control", real), ("combined", concatenate([real, fake]))):
        train(TrainingJob(config, STANDARD_ARMS[name], data, make_set(seed=1), **SEEDS))
    first = made[0]
    for other in made[1:]:
        assert torch.equal(first.mean, other.mean)
        for a, b in zip(first.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-6)


@pytest.mark.parametrize(
    ("killed_at", "keep"), [(1, "val_loss"), (7, "val_macro_auc"), (13, "last"), (19, "average"), (23, "average")]
)
def test_a_killed_training_ends_with_the_same_bytes(make_set, quick, tmp_path, killed_at, keep):
    choices = {"keep": keep, "schedule": "cosine", "label_smoothing": 0.1, "class_weights": "balanced"}
    config = quick.model_copy(update=choices)
    sets = make_set(counts=(9, 7)), make_set(seed=1)
    whole_told, told = [], []
    whole = train(TrainingJob(config, CONTROL, *sets, **SEEDS, on_evaluation=lambda *a: whole_told.append(a)))

    def kill(done: int, total: int, **values: float) -> None:
        if done == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            TrainingJob(
                config, CONTROL, *sets, **SEEDS, progress=kill, checkpoint=Checkpoint(tmp_path / "state.pt", interval=0)
            )
        )
    resumed = []
    made = train(
        TrainingJob(
            config,
            CONTROL,
            *sets,
            **SEEDS,
            progress=lambda done, total, **values: resumed.append(done),
            checkpoint=Checkpoint(tmp_path / "state.pt", interval=0),
            on_evaluation=lambda *a: told.append(a),
        )
    )
    assert resumed[0] == killed_at + 1
    assert _bytes(made) == _bytes(whole)
    assert made.history.evaluations == whole.history.evaluations
    assert told == whole_told


def test_another_trainings_checkpoint_is_not_used(make_set, quick, tmp_path):
    place = tmp_path / "state.pt"
    sets = make_set(), make_set(seed=1)
    train(TrainingJob(quick, ORIGINAL, *sets, **SEEDS, checkpoint=Checkpoint(place, interval=0)))
    steps = []
    train(
        TrainingJob(
            quick,
            ORIGINAL,
            *sets,
            init_seed=3,
            batch_seed=99,
            checkpoint=Checkpoint(place, interval=0),
            progress=lambda done, total, **values: steps.append(done),
        )
    )
    assert steps[0] == 1


def test_fewer_images_than_a_batch(make_set, quick):
    config = quick.model_copy(update={"batch_size": 64, "steps": 3})
    assert (
        train(TrainingJob(config, ORIGINAL, make_set(counts=(3, 2)), make_set(seed=1), **SEEDS)).history.stopped_at == 3
    )


def test_divergence_names_the_step(make_set, quick):
    config = quick.model_copy(update={"learning_rate": 1e30, "schedule": "constant"})
    with pytest.raises(DivergenceError, match=r"arm original: .* not finite at step \d+"):
        train(TrainingJob(config, ORIGINAL, make_set(), make_set(seed=1), **SEEDS))


def test_deadline(make_set, quick):
    with pytest.raises(DeadlineError, match="passed 0 s at step 0"):
        train(TrainingJob(quick, ORIGINAL, make_set(), make_set(seed=1), **SEEDS, deadline=0.0))


def test_on_evaluation_may_prune(make_set, quick):
    def prune(step: int, score: float) -> None:
        raise Pruned

    with pytest.raises(Pruned):
        train(TrainingJob(quick, ORIGINAL, make_set(), make_set(seed=1), **SEEDS, on_evaluation=prune))


def test_sets_that_do_not_fit(make_set, quick):
    with pytest.raises(DataError, match="no training image"):
        train(TrainingJob(quick, ORIGINAL, make_set().take([]), make_set(), **SEEDS))
    with pytest.raises(DataError, match="different classes"):
        train(TrainingJob(quick, ORIGINAL, make_set(), make_set(counts=(2, 2, 2)), **SEEDS))
    with pytest.raises(DataError, match="different shapes"):
        train(TrainingJob(quick, ORIGINAL, make_set(), make_set(size=20), **SEEDS))


def test_every_choice_trains(make_set):
    for choice in (
        {"optimizer": "adam", "schedule": "step", "dropout": 0.0},
        {"class_weights": "balanced", "label_smoothing": 0.2, "schedule": "constant"},
        {"backbone": "resnet18", "batch_size": 4},
    ):
        config = ClassifierConfig.model_validate({"steps": 2, "width": 4, "batch_size": 8, **choice})
        made = train(TrainingJob(config, ORIGINAL, make_set(), make_set(seed=1), **SEEDS))
        assert made.history.stopped_at == 2


def test_bfloat16_trains_float32_weights_that_predict_in_float32(make_set, quick, tmp_path):
    sets = make_set((30, 12, 12)), make_set((30, 12, 12), seed=1)
    config = quick.model_copy(update={"steps": 60, "width": 8})
    checkpoint = Checkpoint(tmp_path / "state.pt", interval=0)
    made = train(TrainingJob(config, CONTROL, *sets, **SEEDS, precision="bfloat16", checkpoint=checkpoint))
    again = train(TrainingJob(config, CONTROL, *sets, **SEEDS, precision="bfloat16"))
    plain = train(TrainingJob(config, CONTROL, *sets, **SEEDS, precision="float32", checkpoint=checkpoint))
    assert _bytes(made) == _bytes(again) != _bytes(plain)  # the checkpoint of the other precision was not gone on from
    assert {v.dtype for v in made.model.state_dict().values() if v.is_floating_point()} == {torch.float32}
    assert made.history.best_score > 0.8
    val_loss = torch.nn.functional.nll_loss(torch.from_numpy(made.predict(sets[1])).double().log(), sets[1].labels)
    losses = {e.step: e.val_loss for e in made.history.evaluations}
    assert val_loss.item() == pytest.approx(losses[made.history.best_step], rel=1e-4)


@pytest.mark.gpu
def test_it_trains_on_a_gpu(make_set, quick):
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    one, two = (
        train(TrainingJob(quick, CONTROL, make_set(), make_set(seed=1), **SEEDS, device="cuda")) for _ in range(2)
    )
    assert (one.predict(make_set(seed=2)) == two.predict(make_set(seed=2))).all()
