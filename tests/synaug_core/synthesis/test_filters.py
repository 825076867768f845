import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from synaug_core.config import FilterConfig, SynthesisConfig
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.errors import ConfigError, DataError
from synaug_core.quality.distances import pairwise
from synaug_core.seeds import stream
from synaug_core.synthesis import filters, registry
from synaug_core.synthesis.filters import REASONS, Reference, apply
from synaug_core.synthesis.make import Funnel, synthesise
from synaug_core.synthesis.strategy import NewImages

NONE = FilterConfig(label_consistency=None, memorisation=None, near_duplicates=None, blankness=None)


def noise(n, seed=0):
    return torch.randint(0, 256, (n, 1, 16, 16), generator=stream(seed), dtype=torch.uint8)


def as_set(images, parents=()):
    n = len(images)
    ids = tuple(f"x/{i}" for i in range(n))
    texts = (json.dumps({"generator": "made", "parents": list(parents)}),) * n
    return ImageSet(images, torch.ones(n, dtype=torch.int64), ("a", "b"), ids, ids, texts)


TRAIN = as_set(noise(12))


def one(**check):
    return NONE.model_copy(update=check)


def test_blank_images_are_dropped():
    faint = (noise(1, seed=1).float() * 0.1 + 100).to(torch.uint8)
    made = as_set(torch.cat([noise(1, seed=2), torch.full((1, 1, 16, 16), 77, dtype=torch.uint8), faint]))
    verdict = apply(made, TRAIN, one(blankness=0.3))
    assert verdict.reasons == (None, "blank", "blank")
    assert verdict.keep.tolist() == [True, False, False]


def test_copies_of_training_images_are_dropped():
    nearly = TRAIN.images[[3]].clone()
    nearly[0, 0, 0] ^= 1
    made = as_set(torch.cat([TRAIN.images[[5]], noise(1, seed=2), nearly]))
    verdict = apply(made, TRAIN, one(memorisation=0.1))
    assert verdict.reasons == ("copy of a training image", None, "copy of a training image")


def test_the_threshold_is_in_units_of_the_training_images_distances():
    unit = Reference.from_images(TRAIN.images).unit
    image = noise(1, seed=2)
    share = float(pairwise(image, TRAIN.images).min()) / unit
    assert bool(apply(as_set(image), TRAIN, one(memorisation=share * 0.999)).keep)
    assert not bool(apply(as_set(image), TRAIN, one(memorisation=share * 1.001)).keep)


def test_the_first_of_alike_images_is_kept():
    x = noise(3, seed=2)
    made = as_set(torch.cat([x, x[[1]], noise(1, seed=3), x[[0]]]))
    verdict = apply(made, TRAIN, one(near_duplicates=0.05))
    assert verdict.keep.tolist() == [True, True, True, False, True, False]
    again = apply(made, TRAIN, one(near_duplicates=0.05), already_kept=x[[2]])
    assert again.keep.tolist() == [True, True, False, False, True, False]
    assert set(again.reasons) == {None, "near-duplicate"}


def test_near_duplicates_are_the_same_in_blocks():
    x = noise(300, seed=2)
    order = torch.randint(0, 300, (700,), generator=stream(5))
    verdict = apply(as_set(x[order]), TRAIN, one(near_duplicates=0.05))
    seen = set()
    expected = [not (i in seen or seen.add(i)) for i in order.tolist()]
    assert verdict.keep.tolist() == expected


def test_chains_of_near_duplicates_keep_every_other_one():
    """b is like a and c, which are not alike: b goes, c stays."""
    a = torch.full((16, 16), 100, dtype=torch.uint8)
    chain = torch.stack([a, a + 4, a + 8])[:, None]
    reference = Reference(unit=1.0, contrast=0.0)
    verdict = apply(as_set(chain), TRAIN, one(near_duplicates=6 / 255), reference=reference)
    assert verdict.keep.tolist() == [True, False, True]


def test_unlikely_labels_are_dropped_and_unknown_ones_kept():
    told = np.array([[0.95, 0.05], [0.2, 0.8], [math.nan, math.nan]])
    asked = []

    def judge(images):
        asked.append(images)
        return told

    verdict = apply(as_set(noise(3, seed=2), ["p"]), TRAIN, one(label_consistency=0.1), judge)
    assert verdict.reasons == ("unlikely label", None, None)
    assert verdict.probability[:2].tolist() == [0.05, 0.8]
    assert bool(verdict.probability[2].isnan())
    assert json.loads(asked[0].provenance[0])["parents"] == ["p"]
    assert bool(apply(as_set(noise(3, seed=2)), TRAIN, one(label_consistency=0.1)).keep.all())


def test_the_first_failed_check_is_the_reason_and_later_ones_are_spared():
    plain = torch.full((1, 1, 16, 16), 77, dtype=torch.uint8)
    made = as_set(torch.cat([plain, TRAIN.images[[0]], noise(1, seed=2), noise(1, seed=2)]))
    asked = []

    def judge(images):
        asked.append(images.ids)
        return np.full((len(images), 2), 0.5)

    verdict = apply(made, TRAIN, FilterConfig(), judge)
    assert verdict.reasons == ("blank", "copy of a training image", None, "near-duplicate")
    assert asked == [("x/2", "x/3")]
    assert set(filter(None, verdict.reasons)) <= set(REASONS)


def test_one_training_image_has_its_contrast_as_unit():
    single = TRAIN.take([0])
    reference = Reference.from_images(single.images)
    assert reference.unit == pytest.approx(reference.contrast)
    made = as_set(torch.cat([single.images, noise(1, seed=2)]))
    assert apply(made, single, FilterConfig()).keep.tolist() == [False, True]


def test_no_candidates_and_no_checks():
    assert apply(TRAIN.take([]), TRAIN, FilterConfig(), lambda images: np.empty((0, 2))).reasons == ()
    assert bool(apply(TRAIN, TRAIN, NONE).keep.all())


# The rounds.

CONFIG = SynthesisConfig(strategy="prior", filters=FilterConfig(near_duplicates=None))
PLAN = {"small": 13, "large": 6}


def picky(least=0.5):
    """A judge with an opinion of its own on every image."""

    def judge(images):
        share = images.images.double().mean((1, 2, 3)).numpy() * 37 % 1
        return np.repeat(share[:, None], len(images.classes), axis=1)

    return judge


def strict(**check):
    return CONFIG.model_copy(update={"filters": FilterConfig(**{"near_duplicates": None, "limit": 20, **check})})


def test_rounds_fill_the_plan_and_the_funnel_adds_up(generator, train):
    calls = []
    config = strict(label_consistency=0.6)
    made = synthesise(
        generator, train, PLAN, config, seed=1, judge=picky(), progress=lambda d, t, **v: calls.append((d, t))
    )
    assert {c: n for c, n in made.images.counts().items() if n} == PLAN
    for name, n in PLAN.items():
        funnel = made.funnel[name]
        assert (funnel.planned, funnel.accepted, funnel.filled) == (n, n, True)
        assert funnel.generated == funnel.accepted + sum(funnel.dropped.values()) + funnel.surplus
        assert funnel.rounds > 1
        assert funnel.dropped["unlikely label"] > 0
        own = made.images.of_class(name)
        assert own.ids == tuple(f"synthetic/{name}/{k}" for k in range(n))
        assert min(json.loads(p)["label_probability"] for p in own.provenance) >= 0.6
        assert Funnel.model_validate_json(funnel.model_dump_json()) == funnel
    assert calls[-1] == (19, 19)
    assert [d for d, _ in calls] == sorted(d for d, _ in calls)


def test_each_class_has_the_threshold_of_its_real_images(generator, train):
    """With `auto` the first class keeps what its real images would, the second one nothing below 0.1."""
    config, judge = strict(), picky()
    made = synthesise(generator, train, PLAN, config, seed=1, judge=judge, real_probabilities={"small": 0.02})
    chances = {
        name: [json.loads(p)["label_probability"] for p in made.images.of_class(name).provenance] for name in PLAN
    }
    assert min(chances["small"]) >= 0.02
    assert min(chances["large"]) >= 0.1
    free = synthesise(generator, train, PLAN, strict(label_consistency=0.0), seed=1, judge=judge)
    expected = [c for c in _chances(free, "small") if c >= 0.02]
    assert chances["small"][: len(expected)] == expected


def _chances(result, name):
    return [json.loads(p)["label_probability"] for p in result.images.of_class(name).provenance]


def test_the_first_round_is_what_is_made_without_filters(generator, train):
    free = synthesise(generator, train, PLAN, CONFIG.model_copy(update={"filters": None}), seed=1)
    gated = synthesise(generator, train, PLAN, strict(label_consistency=0.6), seed=1, judge=picky())
    for name in PLAN:
        mine, all_made = gated.images.of_class(name), free.images.of_class(name).images
        passed = all_made[torch.tensor(picky()(free.images.of_class(name))[:, 0] >= 0.6)]
        assert torch.equal(mine.images[: len(passed)], passed)
    assert free.funnel["small"] == Funnel(planned=13, generated=13, accepted=13)


def test_the_limit_is_said(generator, train):
    def nobody(images):
        return np.zeros((len(images), len(images.classes)))

    made = synthesise(generator, train, PLAN, strict(limit=3.5), seed=1, judge=nobody)
    funnel = made.funnel["small"]
    assert (funnel.generated, funnel.accepted, funnel.filled) == (45, 0, False)
    assert funnel.dropped == {"unlikely label": 45}
    assert len(made.images) == 0


def test_a_single_image_s_interpolations_are_near_duplicates(generator, train):
    config = SynthesisConfig(filters=FilterConfig(label_consistency=None))
    funnel = synthesise(generator, train, {"single": 9}, config, seed=1).funnel["single"]
    assert funnel.accepted <= 1
    assert not funnel.filled
    assert funnel.generated == 36
    assert funnel.rounds < 10


def test_equal_arguments_give_equal_images_and_classes_stand_alone(generator, train):
    config = strict(label_consistency=0.6)
    both = synthesise(generator, train, PLAN, config, seed=1, judge=picky())
    again = synthesise(generator, train, PLAN, config, seed=1, judge=picky())
    assert torch.equal(both.images.images, again.images.images)
    assert both.images.provenance == again.images.provenance
    assert both.funnel == again.funnel
    alone = synthesise(generator, train, {"small": 13}, config, seed=1, judge=picky())
    assert torch.equal(both.images.of_class("small").images, alone.images.images)


def test_what_nobody_can_judge_is_kept_and_counted(generator, train):
    def unknown(images):
        return np.full((len(images), len(images.classes)), np.nan)

    made = synthesise(generator, train, PLAN, strict(), seed=1, judge=unknown)
    assert made.funnel["small"].unjudged == 13
    assert "label_probability" not in json.loads(made.images.provenance[0])
    assert synthesise(generator, train, PLAN, strict(), seed=1).funnel["small"].unjudged == 0


def test_controls_that_repeat_are_not_dropped_for_it(generator, train):
    again = synthesise(generator, train, {"small": 20}, SynthesisConfig(strategy="reconstruct"), seed=1)
    assert again.funnel["small"].filled
    copies = synthesise(None, train, {"small": 20}, SynthesisConfig(strategy="duplicate"), seed=1)
    assert copies.funnel["small"] == Funnel(planned=20, generated=20, accepted=20)


def test_what_a_strategy_says_of_itself_counts_not_its_name(generator, train, monkeypatch):
    """`repeats` is for strategies from outside too: copies of training images then pass."""

    def copies(source, n, config, *, seed):
        rows = torch.arange(n) % len(source.images)
        return NewImages(source.images.images[rows], [{"parents": [source.images.ids[i]]} for i in rows.tolist()])

    for repeats, kept in ((True, 20), (False, 0)):
        monkeypatch.setitem(registry._STRATEGIES, "copies", registry.Entry(copies, generator=False, repeats=repeats))
        made = synthesise(None, train, {"small": 20}, SynthesisConfig(strategy="copies"), seed=1)
        assert made.funnel["small"].accepted == kept


@pytest.fixture
def recorded(monkeypatch):
    """A strategy without a generator that tells what it was given."""
    given = []

    def make(source, n, config, *, seed):
        given.append((source, n, seed))
        return NewImages(noise(n, seed=seed % 1000), [{"parents": []}] * n, {"gain": float(n), "odd": 1.0})

    monkeypatch.setitem(registry._STRATEGIES, "noise", registry.Entry(make, generator=False))
    return given


def test_strategies_without_a_generator_serve_all_planned_classes(train, recorded):
    config = SynthesisConfig(strategy="noise", filters=None)
    made = synthesise(None, train, {"other": 4, "large": 2, "small": 0}, config, seed=1, target=("target",))
    assert made.images.counts() == {"large": 2, "small": 0, "single": 0, "other": 4}
    assert [(s.class_name, s.generator, s.target, n) for s, n, _ in recorded] == [
        ("large", None, ("target",), 2),
        ("other", None, ("target",), 4),
    ]
    origin = json.loads(made.images.provenance[0])
    assert origin == {"generator": None, "strategy": "noise", "parents": []}
    assert made.images.is_synthetic().all()
    with pytest.raises(DataError, match="'other' has no training images"):
        synthesise(None, train.take(train.labels != 3), {"other": 4}, config, seed=1)


def test_measures_are_means_over_all_images_made(train, recorded):
    gate = FilterConfig(label_consistency=0.6, near_duplicates=None, limit=50)
    config = SynthesisConfig(strategy="noise", filters=gate)
    made = synthesise(None, train, {"large": 9}, config, seed=1, judge=picky())
    sizes = [n for _, n, _ in recorded]
    assert len(sizes) == made.funnel["large"].rounds > 1
    assert sum(sizes) == made.funnel["large"].generated
    assert len({seed for _, _, seed in recorded}) == len(sizes)
    assert made.measures["large"]["gain"] == pytest.approx(sum(n * n for n in sizes) / sum(sizes))
    assert made.measures["large"]["odd"] == 1


def test_strategies_that_need_a_generator_say_so(train):
    with pytest.raises(ConfigError, match="interpolate needs a generator"):
        synthesise(None, train, PLAN, SynthesisConfig(), seed=1)


def test_judges_fit_the_gate(generator, train):
    """The real thing: cross-fitted judges as the gate's judge."""
    from synaug_core.config import ClassifierConfig, JudgeConfig
    from synaug_core.quality.judge import Judges

    more = dataclasses.replace(train, ids=tuple(f"m{i}" for i in train.ids), images=255 - train.images)
    several = concatenate([train, dataclasses.replace(more, groups=more.ids)])
    judges = Judges.fit(
        several, ClassifierConfig(width=4, batch_size=8), JudgeConfig(training="classifier", steps=3), seed=1
    )
    config = SynthesisConfig(filters=FilterConfig(label_consistency=0.01, limit=2))
    made = synthesise(generator, several, PLAN, config, seed=1, judge=judges.probabilities)
    assert isinstance(made.funnel["small"], Funnel)
    assert all("label_probability" in p for p in made.images.provenance)
    assert filters.REASONS[0] == "blank"
