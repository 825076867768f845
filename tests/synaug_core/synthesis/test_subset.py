import json

import pytest
import torch

from synaug_core.config import ArmConfig, ClassifierConfig, Config, SynthesisConfig
from synaug_core.config.synthesis import SubsetConfig
from synaug_core.errors import ConfigError
from synaug_core.preflight import check_config
from synaug_core.report import sheets
from synaug_core.seeds import stream
from synaug_core.synthesis.make import synthesise
from synaug_core.synthesis.subset import choose, cover, measure_uncertainty, middle


class Sure:
    """A classifier whose certainty is an image's brightness."""

    def predict(self, images):
        share = images.images.float().mean((1, 2, 3)) / 255
        return torch.stack([0.5 + share / 2, 0.5 - share / 2], 1).numpy()


def describe(images):
    return images.images.float().flatten(1) / 255


def make(train, by="informative", n=6, seed=1, **choices):
    subset = SubsetConfig(by=by, candidates=8)
    config = SynthesisConfig(strategy="mixup", subset=subset, filters=None, **choices)
    return synthesise(None, train, {"large": n}, config, seed=seed, target=(Sure(),), describe=describe)


def test_the_middle_is_the_middle():
    values = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0, 0.0])
    assert middle(values, 2).tolist() == [3, 4]
    assert middle(values, 3).tolist() == [1, 3, 4]
    assert middle(values, 99).tolist() == [0, 1, 2, 3, 4, 5]


def test_cover_takes_what_is_far_from_all_that_is_there():
    points = torch.tensor([[0.0], [1.0], [10.0], [9.0], [-5.0]])
    assert cover(points, torch.tensor([[0.0]]), 3).tolist() == [2, 4, 1]
    assert cover(points, points[:0], 2).tolist() == [0, 2]
    assert sorted(cover(points, points[:1], 9).tolist()) == [0, 1, 2, 3, 4]
    random = torch.randn(300, 5, generator=stream(0))
    anchors = random[:20]

    def radius(rows):
        return float(torch.cdist(random, torch.cat([anchors, random[rows]])).min(1).values.max())

    taken = cover(random, anchors, 30)
    assert radius(taken) < 0.75 * min(radius(torch.randperm(300, generator=stream(s))[:30]) for s in range(5))


def test_neither_the_surest_nor_the_least_sure_are_taken():
    uncertainty = torch.arange(100) / 100
    taken = choose(uncertainty, torch.randn(100, 3, generator=stream(0)), torch.zeros(1, 3), 20)
    assert len(taken.unique()) == 20
    assert taken.min() >= 25
    assert taken.max() < 75
    assert len(choose(uncertainty, torch.zeros(100, 3), torch.zeros(1, 3), 80)) == 80


def test_a_subset_of_many_candidates(train):
    result = make(train)
    [funnel] = result.funnel.values()
    assert (funnel.planned, funnel.generated, funnel.accepted, funnel.surplus) == (6, 48, 6, 42)
    taken = [json.loads(text)["uncertainty"] for text in result.images.provenance]
    others = [json.loads(text)["uncertainty"] for text in result.left_out["large"].provenance]
    assert min(others) < min(taken) <= max(taken) < max(others)
    assert result.images.ids[0] == "synthetic/large/0"
    figures = result.measures["large"]
    assert figures["uncertainty_taken"] == pytest.approx(sum(taken) / 6, abs=1e-3)
    assert sheets.subset(train, result.images, result.left_out).size[0] > 6 * 60


def test_the_control_is_any_of_the_same_candidates(train):
    informative, random = make(train), make(train, "random")
    plain = SynthesisConfig(strategy="mixup", filters=None)
    candidates = synthesise(None, train, {"large": 48}, plain, seed=1).images.images
    for result in (informative, random):
        assert all((image == candidates).flatten(1).all(1).any() for image in result.images.images)
    assert torch.equal(make(train, "random").images.images, random.images.images)
    assert not torch.equal(informative.images.images, random.images.images)
    arm = ArmConfig(name="s", synthesis=SynthesisConfig(subset=SubsetConfig()))
    assert not arm.is_control
    assert arm.model_copy(update={"synthesis": SynthesisConfig(subset=SubsetConfig(by="random"))}).is_control


def test_rounds_go_on_until_the_plan_is_filled(train):
    """Of candidates of which the filters drop most, there are more rounds, as without a subset."""
    subset = SubsetConfig(by="random", candidates=2)
    filters = {"label_consistency": None, "near_duplicates": None, "memorisation": 0.4, "limit": 30}
    config = SynthesisConfig(strategy="mixup", mixup_alpha=0.1, subset=subset, filters=filters)
    [funnel] = synthesise(None, train, {"large": 20}, config, seed=1).funnel.values()
    assert funnel.rounds > 1
    assert funnel.accepted == 20
    assert funnel.generated == funnel.accepted + sum(funnel.dropped.values()) + funnel.surplus


def test_what_it_needs(train):
    with pytest.raises(ConfigError, match="need a classifier trained on real images"):
        measure_uncertainty((), train, SubsetConfig(), samples=4, seed=1)
    mi = SynthesisConfig(strategy="mixup", subset=SubsetConfig(uncertainty="mi"))
    arm = ArmConfig(name="s", synthesis=mi)
    with pytest.raises(ConfigError, match=r"arm s: synthesis.subset.uncertainty: mi needs classifier.dropout"):
        check_config(Config(arms=(arm,), classifier=ClassifierConfig(dropout=0)))
    copies = ArmConfig(name="s", synthesis=SynthesisConfig(strategy="duplicate", subset=SubsetConfig()))
    with pytest.raises(ConfigError, match="duplicate gives real images"):
        check_config(Config(arms=(copies,)))


def test_judged_labels_are_what_the_judges_say(train):
    asked = []

    def judge(images):
        asked.append(len(images))
        rows = torch.tensor([[0.7, 0.2, 0.1, 0.0]]).repeat(len(images), 1)
        rows[0] = torch.nan
        return rows.numpy()

    for strategy in ("mixup", "duplicate"):
        asked.clear()
        config = SynthesisConfig(strategy=strategy, labels="judged", filters=None)
        images = synthesise(None, train, {"large": 5}, config, seed=1, judge=judge).images
        shares = images.label_shares()
        assert shares[0].tolist() == [1, 0, 0, 0]  # nobody could judge it
        assert torch.allclose(shares[1:], torch.tensor([0.7, 0.2, 0.1, 0.0]))
        assert asked == [5]
    assert (
        synthesise(None, train, {"large": 5}, SynthesisConfig(strategy="duplicate"), seed=1).images.label_shares()
        is None
    )
