import dataclasses
import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import FilterConfig, JudgeConfig
from synaug_core.errors import ArtifactError, DataError, DeadlineError
from synaug_core.quality.consistency import (
    RealLabels,
    measure_consistency,
    measure_real_consistency,
    measure_real_labels,
)
from synaug_core.quality.judge import _STRENGTH, Judges, assign_folds, plan_panel, split_panel

_SINGLE = ((0,), (1,), (2,))


def networks(steps=None):
    return JudgeConfig(training="classifier", steps=steps)


def grouped(images, size):
    return dataclasses.replace(images, groups=tuple(f"g{i // size}" for i in range(len(images))))


@pytest.mark.parametrize("folds", [3, 5])
def test_folds_hold_whole_groups_and_all_classes(striped, folds):
    images = grouped(striped((24, 15, 9)), 1)
    fold = assign_folds(images, folds, seed=1)
    for label in range(3):
        own = np.bincount([fold[i] for i, c in zip(images.ids, images.labels.tolist(), strict=True) if c == label])
        assert own.max() - own.min() <= 1
    pairs = grouped(images, 2)
    fold = assign_folds(pairs, folds, seed=1)
    for a, b in zip(pairs.ids[::2], pairs.ids[1::2], strict=True):
        assert fold[a] == fold[b]
    assert set(fold.values()) == set(range(folds))
    assert fold == assign_folds(pairs.take(torch.arange(47, -1, -1)), folds, seed=1)
    assert fold != assign_folds(pairs, folds, seed=2)


def test_members_leave_out_one_or_two_folds(judges):
    assert [m.left_out for m in judges.members] == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    assert [m.name for m in judges.members][3] == "without-0-1"
    assert judges.list_unseen_classes() == {}
    assert all(m.classifier.config.steps == 40 for m in judges.members)


def test_no_judge_has_seen_a_parent(train, judges, children):
    parents = [[train.ids[i], train.ids[j]] for i in range(0, 24, 3) for j in range(24)]
    made = children(train, parents)
    expected = np.zeros((len(made), 3))
    for row, pair in enumerate(parents):
        folds = {judges.fold_of[p] for p in pair}
        (member,) = judges.judges_for(frozenset(folds), "a")
        assert set(member.left_out) == folds  # as few left out as can be, and both parents among them
        expected[row] = member.classifier.predict(made.images[row : row + 1])
    assert np.allclose(judges.probabilities(made), expected, atol=1e-5)


def test_without_parents_all_single_judges_are_asked(train, judges, children):
    made = children(train, [[], []])
    singles = [m.classifier.predict(made) for m in judges.members[:3]]
    assert np.allclose(judges.probabilities(made), np.mean(singles, axis=0), atol=1e-6)


def test_parents_in_all_folds_leave_nobody(train, judges, children):
    of_fold = {f: i for i, f in judges.fold_of.items()}
    made = children(train, [[of_fold[0], of_fold[1], of_fold[2]], [of_fold[1]]])
    told = judges.probabilities(made)
    assert np.isnan(told[0]).all()
    assert told[1].sum() == pytest.approx(1, abs=1e-5)
    found = measure_consistency(told, made.labels)
    assert (found.n, found.judged) == (2, 1)


def test_reals_are_judged_by_those_that_left_them_out(train, judges):
    told = judges.of_reals(train)
    for row, image in enumerate(train.ids):
        member = judges.members[judges.fold_of[image]]
        assert np.allclose(told[row], member.classifier.predict(train.images[row : row + 1])[0], atol=1e-5)
    found = measure_real_consistency(judges, train)
    assert {c: f.n for c, f in found.items()} == train.counts()
    assert found["a"].agreement > 0.6


def test_how_many_reals_the_label_filter_would_drop(train, judges):
    told = judges.of_reals(train)
    own = told[np.arange(len(train)), train.labels.numpy()]
    labels = measure_real_labels(judges, train)
    assert {name: real.share_below(0.0) for name, real in labels.items()} == {"a": 0, "b": 0, "c": 0}
    assert {name: real.share_below(1.1) for name, real in labels.items()} == {"a": 1, "b": 1, "c": 1}
    assert labels["a"].share_below(0.5) == (own[:24] < 0.5).mean()


@pytest.mark.parametrize(("n", "dropped"), [(1, 0), (9, 0), (10, 1), (12, 1), (40, 4)])
def test_nine_tenths_of_the_reals_are_not_below_the_threshold(n, dropped):
    labels = RealLabels(np.linspace(0.01, 0.9, n))
    assert labels.share_below(labels.low) == pytest.approx(dropped / n)


def test_the_threshold_follows_the_reals_up_to_the_number_of_before():
    config = FilterConfig()
    assert config.needs_judge
    assert [config.least_probability(low) for low in (0.003, 0.1, 0.4, None)] == [0.003, 0.1, 0.1, 0.1]
    assert FilterConfig(label_consistency=0.3).least_probability(0.003) == 0.3
    assert FilterConfig(label_consistency=None).least_probability(0.003) is None


def test_wrong_labels_are_noticed(train, judges, children):
    right = children(train, [[i] for i in train.ids])
    wrong = dataclasses.replace(right, labels=(right.labels + 1) % 3)

    def by_class(images):
        told, label = judges.probabilities(images), images.labels
        return {
            name: measure_consistency(told[(label == i).numpy()], label[label == i]) for i, name in enumerate("abc")
        }

    good, bad = by_class(right), by_class(wrong)
    for name in "abc":
        assert good[name].probability > bad[name].probability
    assert np.mean([f.agreement for f in good.values()]) > 0.6 > 0.4 > np.mean([f.agreement for f in bad.values()])


def test_a_class_in_one_group_is_not_judged_by_those_who_lack_it(striped, quick, children):
    images = striped((9, 9, 4))
    images = dataclasses.replace(images, groups=(*images.groups[:18], *["one"] * 4))
    judges = Judges.fit(images, quick, networks(2), seed=1)
    fold = judges.fold_of[images.ids[-1]]
    assert judges.list_unseen_classes() == {"c": tuple(m.name for m in judges.members if fold in m.left_out)}
    made = children(images, [[images.ids[-1]], [images.ids[0]]])
    told = judges.probabilities(made)
    assert np.isnan(told[0]).all()
    assert not np.isnan(told[1]).any()
    empty = measure_real_consistency(judges, images)["c"]
    assert "c" not in measure_real_labels(judges, images)
    assert (empty.judged, empty.agreement, empty.probability) == (0, None, None)
    without_parents = dataclasses.replace(made, provenance=('{"parents": []}',) * 2)
    assert not np.isnan(judges.probabilities(without_parents)).any()


def test_two_groups_are_enough_and_one_is_not(striped, quick):
    images = striped((4, 4, 0))
    halves = dataclasses.replace(images, groups=tuple("xyxyxyxy"))
    judges = Judges.fit(halves, quick, networks(1), seed=1)
    assert len(judges.of_reals(halves)) == 8
    assert not np.isnan(judges.of_reals(halves)).any()
    with pytest.raises(DataError, match="two groups at least"):
        Judges.fit(grouped(images, 8), quick, networks(1), seed=1)


def test_judges_of_single_folds_cannot_judge_two(train, quick, children):
    judges = Judges.fit(train, quick, networks(1), seed=1, leaving_out=_SINGLE)
    assert [len(m.left_out) for m in judges.members] == [1, 1, 1]
    of_fold = {f: i for i, f in judges.fold_of.items()}
    told = judges.probabilities(children(train, [[of_fold[0], of_fold[1]], [of_fold[0], of_fold[0]]]))
    assert np.isnan(told).all(axis=1).tolist() == [True, False]


def test_strangers_are_refused(judges, train, children):
    made = children(train, [[train.ids[0]]])
    made = dataclasses.replace(made, provenance=(json.dumps({"parents": ["nobody"]}),))
    with pytest.raises(DataError, match="'nobody' is not among"):
        judges.probabilities(made)
    with pytest.raises(DataError, match="is not among"):
        judges.of_reals(dataclasses.replace(train, ids=tuple(f"x{i}" for i in range(len(train)))))


def test_equal_arguments_give_equal_bytes_and_files_come_back(train, quick, tmp_path):
    seen = []
    options = {"seed": 3, "leaving_out": _SINGLE}
    one = Judges.fit(
        train,
        quick,
        networks(3),
        **options,
        progress=lambda d, t, **v: seen.append((d, t)),
    )
    other = Judges.fit(
        train,
        quick,
        networks(3),
        **options,
        checkpoint_for=lambda n: Checkpoint(tmp_path / n, interval=0),
    )
    assert seen == [(i, 9) for i in range(1, 10)]
    one.save(tmp_path / "one")
    other.save(tmp_path / "other")
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) == 7
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "other" / f).read_bytes() for f in files)
    assert (tmp_path / "without-1").exists()
    back = Judges.load(tmp_path / "one")
    assert np.array_equal(back.of_reals(train), one.of_reals(train))
    assert (back.fold_of, back.folds, back.classes) == (one.fold_of, 3, train.classes)


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_the_panel_is_split_evenly(folds):
    parts = split_panel(folds)
    assert [judge for part in parts for judge in part] == list(plan_panel(folds))
    assert len(parts) == folds
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_judges_trained_in_parts_are_those_trained_together(train, quick, tmp_path):
    config = networks(3)
    parts = [Judges.fit(train, quick, config, seed=3, leaving_out=part) for part in reversed(split_panel(3))]
    for number, part in enumerate(parts):
        part.save(tmp_path / f"{number}")
    joined = Judges.join([Judges.load(tmp_path / f"{number}") for number in range(len(parts))])
    whole = Judges.fit(train, quick, config, seed=3)
    assert [m.left_out for m in joined.members] == list(plan_panel(3))
    assert np.array_equal(joined.of_reals(train), whole.of_reals(train))


def test_parts_of_other_panels_do_not_join(train, quick):
    one = Judges.fit(train, quick, networks(1), seed=1, leaving_out=[(0,)])
    other = Judges.fit(train, quick, networks(1), seed=2, leaving_out=[(1,)])
    with pytest.raises(ArtifactError, match="not parts of one panel"):
        Judges.join([one, other])
    with pytest.raises(ArtifactError, match="not parts of one panel"):
        Judges.join([])


def test_steps_are_half_of_the_classifier_s(train, quick):
    judges = Judges.fit(train, quick.model_copy(update={"steps": 4}), networks(), seed=1, leaving_out=_SINGLE)
    assert {m.classifier.history.stopped_at for m in judges.members} == {2}


def test_what_is_not_there_cannot_be_loaded(tmp_path):
    with pytest.raises(ArtifactError, match="no readable judges"):
        Judges.load(tmp_path)
    text = {"kind": "judges of old", "classes": [], "folds": 3, "fold_of": {}, "members": []}
    (tmp_path / "judges.json").write_text(json.dumps(text))
    with pytest.raises(ArtifactError, match="this version cannot read"):
        Judges.load(tmp_path)


def test_the_deadline_is_for_all(train, quick):
    with pytest.raises(DeadlineError):
        Judges.fit(train, quick, networks(), seed=1, deadline=0.0)


def test_heads_share_one_backbone_and_know_the_classes(train, linear_judges, quick):
    assert [m.left_out for m in linear_judges.members] == list(plan_panel(3))
    assert len({id(m.classifier.features.model) for m in linear_judges.members}) == 1
    told = linear_judges.of_reals(train)
    assert np.allclose(told.sum(1), 1)
    assert (told.argmax(1) == train.labels.numpy()).mean() > 0.9
    for row in (0, 30, 45):
        member = linear_judges.members[linear_judges.fold_of[train.ids[row]]]
        assert np.allclose(told[row], member.classifier.predict(train.images[row : row + 1])[0], atol=1e-6)
    alone = Judges.fit(train, quick, JudgeConfig(folds=3), seed=1, leaving_out=[(1,)])
    assert torch.equal(alone.members[0].classifier.head.weight, linear_judges.members[1].classifier.head.weight)
    other = Judges.fit(train, quick, JudgeConfig(folds=3), seed=2, leaving_out=[(1,)])
    assert other.fold_of != linear_judges.fold_of


def test_a_head_is_the_balanced_logistic_regression_of_scikit_learn(train, linear_judges):
    judge = linear_judges.members[0]
    rows = [row for row, image in enumerate(train.ids) if linear_judges.fold_of[image] not in judge.left_out]
    points = judge.classifier.features.raw(train).double().numpy()
    mean, deviation = points[rows].mean(0), points[rows].std(0).clip(1e-3)
    oracle = LogisticRegression(C=_STRENGTH, class_weight="balanced", tol=1e-8, max_iter=5000)
    oracle.fit((points[rows] - mean) / deviation, train.labels[rows].numpy())
    expected = oracle.predict_proba((points - mean) / deviation)
    assert np.allclose(judge.classifier.predict(train), expected, atol=2e-3)


def test_heads_come_back_from_their_file(train, linear_judges, tmp_path, monkeypatch):
    linear_judges.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["heads.safetensors", "judges.json"]
    back = Judges.load(tmp_path)
    assert np.array_equal(back.of_reals(train), linear_judges.of_reals(train))
    spec = json.loads((tmp_path / "judges.json").read_text())
    other = spec | {"backbone": spec["backbone"] | {"weights": "0" * 64}}
    (tmp_path / "judges.json").write_text(json.dumps(other))
    with pytest.raises(ArtifactError, match="tf_efficientnet_lite0 with other weights"):
        Judges.load(tmp_path)
    config = spec["backbone"]["config"] | {"backbone": "no_such_network", "pretrained": "hub"}
    (tmp_path / "judges.json").write_text(json.dumps(spec | {"backbone": spec["backbone"] | {"config": config}}))
    with pytest.raises(ArtifactError, match="a backbone that cannot be built"):
        Judges.load(tmp_path)
    (tmp_path / "judges.json").write_text(json.dumps(spec | {"classes": ["a", "b"]}))
    with pytest.raises(ArtifactError, match="heads do not fit"):
        Judges.load(tmp_path)
    (tmp_path / "judges.json").write_text(json.dumps(spec))
    data = bytearray((tmp_path / "heads.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "heads.safetensors").write_bytes(data)
    with pytest.raises(ArtifactError, match="does not hold the bytes"):
        Judges.load(tmp_path)
    (tmp_path / "heads.safetensors").unlink()
    with pytest.raises(ArtifactError, match="no readable judges"):
        Judges.load(tmp_path)


def test_the_heads_of_a_class_that_one_judge_lacks(striped, quick, children):
    images = striped((9, 9, 4))
    images = dataclasses.replace(images, groups=(*images.groups[:18], *["one"] * 4))
    judges = Judges.fit(images, quick, JudgeConfig(folds=3), seed=1)
    told = judges.probabilities(children(images, [[images.ids[-1]], [images.ids[0]]]))
    assert np.isnan(told[0]).all()
    assert np.isfinite(told[1]).all()


def test_heads_tell_how_far_they_are_and_keep_the_deadline(train, quick):
    seen = []
    Judges.fit(train, quick, JudgeConfig(folds=3), seed=1, progress=lambda d, t, **v: seen.append((d, t)))
    assert seen[-1] == (8, 8)
    assert seen == sorted(seen)
    with pytest.raises(DeadlineError, match="judges: the training passed 0 s"):
        Judges.fit(train, quick, JudgeConfig(folds=3), seed=1, deadline=0.0)


def test_by_default_there_are_five_folds_frozen_and_three_of_networks():
    assert JudgeConfig().fold_count == 5
    assert JudgeConfig().without_features().fold_count == 3
    assert JudgeConfig(folds=4).without_features().fold_count == 4
