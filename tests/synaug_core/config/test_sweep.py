from __future__ import annotations

from pathlib import Path

import pytest

from synaug_core.config.arms import RECIPES
from synaug_core.config.load import load
from synaug_core.config.sweep import cells, load_sweep
from synaug_core.errors import ConfigError

BASE = "data: {source: digits, classes: [0, 1, 2]}\n"


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "ablation.yaml"
        path.write_text(BASE + text)
        return str(path)

    return write


def test_every_combination_in_order(file):
    found = cells(load_sweep(file("sweep: {data.per_class: [5, 10], seed: [0, 1, 2]}")))
    assert [tuple(c.labels.values()) for c in found] == [(a, b) for a in ("5", "10") for b in "012"]
    assert [(c.config.data.per_class, c.config.seed) for c in found] == [(a, b) for a in (5, 10) for b in range(3)]
    assert {c.config.name for c in found} == {"ablation"}
    assert {c.config.data.classes for c in found} == {("0", "1", "2")}


def test_values_may_have_names(file):
    text = "sweep: {data.classes: {two: [0, 1], all: null}, synthesis.multiple: [0.5, 2]}"
    found = cells(load_sweep(file(text), ["repetitions=3"]))
    assert [c.labels["data.classes"] for c in found] == ["two", "two", "all", "all"]
    assert found[0].config.data.classes == ("0", "1")
    assert found[2].config.data.classes is None
    combined = {arm.name: arm for arm in found[1].config.arms}["combined"]
    assert combined.synthesis is not None
    assert combined.synthesis.multiple == 2.0
    assert {c.config.repetitions for c in found} == {3}


def test_a_sweep_may_be_given_by_an_override(data, file):
    sweep = "sweep={data.per_class: [6, 12]}"
    found = cells(load_sweep("images", ["repetitions=3", sweep]))
    assert [(c.config.data.per_class, c.config.repetitions) for c in found] == [(6, 3), (12, 3)]
    assert found[0].config.data.source == str(data / "images")
    assert [c.labels for c in cells(load_sweep(file("sweep: {seed: [0, 1]}"), [sweep]))] == [
        {"data.per_class": "6"},
        {"data.per_class": "12"},
    ]
    with pytest.raises(ConfigError, match="a sweep needs a section `sweep`"):
        load_sweep("images", ["sweep=[6, 12]"])
    with pytest.raises(ConfigError, match="use `synaug sweep"):
        load("images", [sweep])


@pytest.mark.parametrize(
    ("override", "key"),
    [("data.per_class=7", "data.per_class"), (" generator.steps = 3", "generator"), ("generator={}", "generator")],
)
def test_a_varied_key_cannot_be_set_too(file, override, key):
    source = file("sweep: {data.per_class: [5, 10], generator: {short: {steps: 5}, long: {steps: 9}}}")
    assert load_sweep(source, ["data.min_per_class=3", "generators={}", "data.classes=[0, 1]"]).grid
    with pytest.raises(ConfigError, match=f"{key} is varied by the sweep; change its values there"):
        load_sweep(source, [override])


def test_a_sweep_is_not_a_run(file):
    with pytest.raises(ConfigError, match="use `synaug sweep"):
        load(file("sweep: {seed: [0, 1]}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a sweep needs a section `sweep`"),
        ("sweep: [1]", "a sweep needs a section `sweep`"),
        ("sweep: {sed: [0, 1]}", "sweep.sed: unknown key sed; the nearest known key is seed"),
        ("sweep: {seed: 3}", "sweep.seed: a list of values is expected"),
        ("sweep: {seed: []}", "sweep.seed: a list of values is expected"),
        ("sweep: {seed: [1, 1]}", "sweep.seed: two values look the same"),
        ("sweep: {seed: [1, -1]}", "sweep, at seed = -1: seed: got -1, expected a whole number of at least 0"),
        (f"sweep: {{seed: {list(range(501))}}}", "501 combinations; at most 500"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(file, text, said):
    with pytest.raises(ConfigError) as caught:
        load_sweep(file(text))
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_recipes_are_compared_beside_the_arms_and_judged(file):
    text = "arms: [control, oracle]\nsweep: {data.per_class: [5, 10], recipes: [transfer, paste]}"
    found = cells(load_sweep(file(text)))
    assert [tuple(c.labels.values()) for c in found] == [
        ("5", "transfer"),
        ("5", "paste"),
        ("10", "transfer"),
        ("10", "paste"),
    ]
    arms = {arm.name: arm for arm in found[0].config.arms}
    assert list(arms) == ["control", "oracle", "transfer", "transfer-random"]
    assert [arms[name] for name in ("transfer", "transfer-random")] == list(RECIPES["transfer"])
    assert found[0].config.evaluation.primary.arm == "transfer"
    assert found[1].config.evaluation.primary.arm == "paste"


def test_recipes_of_ones_own(file):
    own = "{copies: [{name: twice, synthesis: {multiple: 2}}, balanced], plain: [combined]}"
    found = cells(load_sweep(file(f"arms: [control]\nsweep: {{recipes: {own}}}")))
    assert [c.labels["recipes"] for c in found] == ["copies", "plain"]
    assert [arm.name for arm in found[0].config.arms] == ["control", "twice", "balanced"]
    assert [c.config.evaluation.primary.arm for c in found] == ["twice", "combined"]


def test_strengths_and_shares_of_recipes(file):
    text = "recipes: [transfer, residual], recipe.real_share: [0.25, 0.75], recipe.synthesis.multiple: [1, 2]"
    found = cells(load_sweep(file(f"arms: [control]\nsweep: {{{text}}}")))
    assert len(found) == 8
    control, judged, matched = found[-1].config.arms
    assert control.real_share == 0.5
    assert (judged.real_share, matched.real_share) == (0.75, 0.75)
    assert (judged.synthesis.multiple, matched.synthesis.multiple) == (2, 2)
    assert judged.synthesis.detail == "residual"
    assert found[0].config.arms[1].real_share == 0.25
    points = "recipes: [points-shared], recipe.oversampling.spread: [0.5, 1]"
    found = cells(load_sweep(file(f"arms: [control]\nsweep: {{{points}}}")))
    assert [c.config.arms[1].oversampling.spread for c in found] == [0.5, 1]
    for wrong in (
        "recipes: [points-shared], recipe.synthesis.multiple: [1, 2]",
        "recipe.real_share: [0.2, 0.3]",
        "recipes: {a: [combined]}, recipe.real_share: [0.2, 0.3]",
    ):
        with pytest.raises(ConfigError, match="the arm that a recipe judges has no section of it to vary"):
            load_sweep(file(f"arms: [control]\nsweep: {{{wrong}}}"))
    with pytest.raises(ConfigError, match="unknown key"):
        load_sweep(file("arms: [control]\nsweep: {recipes: [transfer], recipe.synthesis.multple: [1, 2]}"))


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ("[transfr]", "sweep.recipes: unknown recipe 'transfr'; known are interpolate, residual, transfer"),
        ("{a: []}", "sweep.recipes.a: a list of arms is expected, the judged one first"),
        ("{a: [{synthesis: {}}]}", "name"),
        ("3", "sweep.recipes: a list of values is expected"),
    ],
)
def test_recipes_that_do_not_fit(file, recipes, message):
    with pytest.raises(ConfigError, match=message):
        load_sweep(file(f"arms: [control]\nsweep: {{recipes: {recipes}}}"))


def test_each_recipe_is_judged_against_controls_of_its_own():
    for name, (judged, *matched) in RECIPES.items():
        assert judged.name == name
        assert not judged.is_control
        assert matched
        assert all(arm.is_control for arm in matched)
        for arm in matched:  # nothing else differs
            assert (arm.sampling, arm.augmentation, arm.real_share) == (
                judged.sampling,
                judged.augmentation,
                judged.real_share,
            )
