from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from synaug_core.config import GeneratorConfig, VAEConfig
from synaug_core.config.load import load

Refusal = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("repetitions=3", "repetitions", 3),
        ("tuning.trials=0", "tuning.trials", 0),
        ("generator.learning_rate=1e-3", "generator.learning_rate", 1e-3),
        ("generator.vae.variance=learned", "generator.vae.variance", "learned"),
        ("generator.vae.variance=0.5", "generator.vae.variance", 0.5),
        ("generator.variance=0.5", "generator.vae.variance", 0.5),
        ("generator={kind: vae, warmup: 0.5}", "generator.vae.warmup", 0.5),
        ("classifier.pretrained=true", "classifier.pretrained", "hub"),
        ("classifier.pretrained=false", "classifier.pretrained", "none"),
        ("classifier.pretrained=package", "classifier.pretrained", "package"),
        ("data.image_size=32", "data.image_size", 32),
        ("data.image_size=", "data.image_size", None),
        ("data.image_size=null", "data.image_size", None),
        ("data.classes=[b, a]", "data.classes", ("b", "a")),
        ("data.classes=[0, 1, no, true, 007]", "data.classes", ("0", "1", "no", "true", "007")),
        ("data.classes=[1_000, True, 1.50, ~]", "data.classes", ("1_000", "True", "1.50", "~")),
        ("data.classes=null", "data.classes", None),
        ("name=2024", "name", "2024"),
        ("synthesis.sampling_strategy={a: 10, 1: 20}", "synthesis.sampling_strategy", {"a": 10, "1": 20}),
        ("synthesis.sampling_strategy.rare=10", "synthesis.sampling_strategy", {"rare": 10}),
        ("synthesis.alpha=[0.2, 0.8]", "synthesis.alpha", (0.2, 0.8)),
        ("tuning.dropout=null", "tuning.dropout", None),
        ("tuning.dropout.low=0.1", "tuning.dropout.high", 0.6),
        ("data.split.test=0.3", "data.split.validation", 0.15),
    ],
)
def test_an_override_sets_its_key(data: Path, override: str, key: str, value: Any) -> None:
    found: Any = load("images", [override])
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value


def test_arms_by_name_and_written_out(data: Path) -> None:
    config = load("images", ["arms=[original, {name: mine, sampling: balanced, synthesis: default}]"])
    assert [arm.name for arm in config.arms] == ["original", "mine"]
    assert config.arms[1].synthesis is not None


def test_the_shared_synthesis_reaches_the_arms(data: Path) -> None:
    config = load("images", ["synthesis.multiple=2", "arms=[control, combined]"])
    assert [arm.synthesis.multiple if arm.synthesis else None for arm in config.arms] == [None, 2.0]


def test_later_overrides_win_and_beat_the_file(data: Path) -> None:
    (data / "c.yaml").write_text("data: {source: images}\nrepetitions: 2\ngenerator: {steps: 5, width: 8}\n")
    config = load("c.yaml", ["repetitions=3", "repetitions=4", "generator.steps=7"])
    assert (config.repetitions, config.generator.steps, config.generator.width) == (4, 7, 8)


def test_keys_of_version_0_1_0_are_read_where_their_section_is_now(data: Path) -> None:
    old = "{beta: 2, variance: 0.5, warmup: 0.1, execution: loop, latent_dim: 8}"
    (data / "c.yaml").write_text(f"data: {{source: images}}\ngenerator: {old}\ngenerators: {{more: {old}}}\n")
    config = load("c.yaml", ["generator.beta=3", "generators.more.vae.warmup=0.3", "generators.more.beta=4"])
    one, more = config.generator, config.generators["more"]
    assert (one.vae.beta, one.vae.variance, one.vae.warmup, one.vae.execution) == (3, 0.5, 0.1, "loop")
    assert (more.vae.beta, more.vae.variance, more.vae.warmup, more.latent_dim) == (4, 0.5, 0.3, 8)
    assert GeneratorConfig.model_validate({"kind": "vae", "beta": 2.0}).vae == VAEConfig(beta=2.0)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("data.sorce=x", "--set data.sorce=x: unknown key data.sorce; the nearest known key is data.source"),
        ("repetition=3", "--set repetition=3: unknown key repetition; the nearest known key is repetitions"),
        ("seed.x=1", "--set seed.x=1: unknown key seed.x; the nearest known key is seed"),
        (
            "steps=9",
            "--set steps=9: unknown key steps; the nearest known keys are generator.steps, classifier.steps, "
            "tuning.steps",
        ),
        (
            "arms=[{name: a, samplin: x}]",
            "unknown key arms[0].samplin; the nearest known key is arms[0].sampling",
        ),
        ("repetitions=0", "repetitions: got 0, expected a whole number of at least 1"),
        ("repetitions=many", 'repetitions: got "many", expected a whole number of at least 1'),
        ("repetitions=true", "repetitions: got true, expected a whole number of at least 1"),
        ("repetitions=", "repetitions: got null, expected a whole number of at least 1"),
        ("repetitions=[1]", "repetitions: got [1], expected a whole number of at least 1"),
        ("seed=1.5", "seed: got 1.5, expected a whole number of at least 0"),
        ("generator.vae.variance=-1", "generator.vae.variance: got -1, expected a number above 0, or learned"),
        ("generator.variance=-1", "generator.vae.variance: got -1, expected a number above 0, or learned"),
        (
            "generator={beta: 1, vae: {beta: 2}}",
            "unknown key generator.beta; the nearest known key is generator.vae.beta",
        ),
        ("generator.learning_rate=.nan", "generator.learning_rate: got NaN, expected a number above 0"),
        ("generator.learning_rate=.inf", "generator.learning_rate: got Infinity, expected a number above 0"),
        ("generator.learning_rate=inf", 'generator.learning_rate: got "inf", expected a number above 0'),
        ("classifier.learning_rate=nan", 'classifier.learning_rate: got "nan", expected a number above 0'),
        ("data.max_megabytes=Infinity", 'data.max_megabytes: got "Infinity", expected a number above 0'),
        ("synthesis.multiple=-1", "synthesis.multiple: got -1, expected a number above 0"),
        ("synthesis.alpha=[0, 2]", "synthesis: alpha: every value must lie in [0, 1]"),
        ("data.small_classes=maybe", 'data.small_classes: got "maybe", expected refuse, drop or keep'),
        ("data.image_size=8", "data.image_size: got 8, expected a whole number from 16 to 512, or nothing (null)"),
        ("data.channels=2", "data.channels: got 2, expected 1 or 3, or nothing (null)"),
        ("classifier.pretrained=maybe", 'classifier.pretrained: got "maybe", expected none, package, hub or file'),
        ("classifier.dropout=1", "classifier.dropout: got 1, expected a number of at least 0 and below 1"),
        ("tuning.dropout={low: 0.1}", "tuning.dropout.high is missing; expected a number"),
        (
            "data.classes=[[a]]",
            'data.classes: got [["a"]], expected a list [a, b, ...], each a word, or nothing (null)',
        ),
        ("tuning.arms=control", 'tuning.arms: got "control", expected a list [a, b, ...], each a word'),
        (
            "name=a b",
            'name: got "a b", expected letters, digits, - and _, at most 63, beginning with a letter or digit',
        ),
        (
            "arms=[{name: Mix}]",
            'arms[0].name: got "Mix", expected lower-case letters, digits, - and _, at most 63, beginning with a '
            "letter or digit",
        ),
        ("watch.deployment=retrain", 'watch.deployment: got "retrain", expected FLOW/NAME, or nothing (null)'),
        (
            "evaluation.primary.arm=control",
            "evaluation.primary.arm: 'control' is a control; arms that are no controls: synthetic, combined",
        ),
        (
            "evaluation.primary.arm=mix",
            "evaluation.primary.arm: 'mix' is not one of the arms; arms that are no controls: synthetic, combined",
        ),
        ("arms=[]", "arms: at least one arm is needed"),
        ("arms=[control, control]", "arms: several arms are named control"),
        (
            "arms=[control, magic]",
            "arms: unknown arm 'magic'; known are original, balanced, traditional, control, synthetic, combined, "
            "balanced_softmax, deferred, mixup, cutmix, strong, ensemble, oracle, picked",
        ),
        (
            "arms=[control, {name: real, control: true, synthesis: {strategy: oracle}}]",
            "arms[1]: control: a positive control holds images that no arm can have; no gain has to beat it",
        ),
        ("arms=[{name: a, sampling: x}]", 'arms[0].sampling: got "x", expected natural, balanced or deferred'),
        (
            "evaluation=3",
            "evaluation: got 3, expected a mapping of confidence, resamples, primary, precision, specificity",
        ),
        (
            "evaluation.primary.metric=robust_balanced_accuracy",
            "evaluation.primary.metric: robust_balanced_accuracy needs attacks on every training, but "
            "robustness.repetitions is below 6",
        ),
        ("repetitions", "--set repetitions: expected key=value, such as --set repetitions=6"),
        ("=3", "--set =3: expected key=value, such as --set repetitions=6"),
    ],
)
def test_what_does_not_fit_is_named(data: Path, refusal: Refusal, override: str, line: str) -> None:
    assert refusal("images", override) == [line]


def test_a_long_value_is_cut(data: Path, refusal: Refusal) -> None:
    [line] = refusal("images", f"data.small_classes={'x' * 500}")
    assert "..." in line
    assert len(line) < 150


def test_each_misfit_has_its_line(data: Path, refusal: Refusal) -> None:
    (data / "c.yaml").write_text("data: {source: images}\nrepetitions: 0\nseed: x\ngenerator: {steps: 0, width: -1}\n")
    assert sorted(refusal("c.yaml")) == [
        "generator.steps: got 0, expected a whole number of at least 1",
        "generator.width: got -1, expected a whole number of at least 1",
        "repetitions: got 0, expected a whole number of at least 1",
        'seed: got "x", expected a whole number of at least 0',
    ]


def test_unknown_keys_of_a_file_are_all_named(data: Path, refusal: Refusal) -> None:
    (data / "c.yaml").write_text("data: {source: images, imagesize: 3}\nrepetitons: 2\nfoo: {bar: 1}\n")
    lines = refusal("c.yaml")
    assert lines[0] == "unknown key data.imagesize; the nearest known key is data.image_size"
    assert lines[1] == "unknown key repetitons; the nearest known key is repetitions"
    assert lines[2].startswith("unknown key foo; the nearest known key")


def test_an_arm_whose_images_are_mixtures_is_a_control(data: Path, refusal: Refusal) -> None:
    mixing = "arms=[control, {name: mix, synthesis: {strategy: mixup}}, synthetic]"
    assert refusal("images", mixing, "evaluation.primary.arm=mix") == [
        "evaluation.primary.arm: 'mix' is a control; arms that are no controls: synthetic"
    ]


def test_the_oracle_is_the_combined_arm_with_real_images_and_is_no_rival(data: Path, refusal: Refusal) -> None:
    arms = "arms=[control, combined, oracle]"
    config = load(
        "images", [arms, "data.per_class={cat: 20, default: 100}", "synthesis={multiple: 2, strategy: prior}"]
    )
    assert config.data.per_class == {"cat": 20, "default": 100}
    combined, oracle = config.arms[1:]
    assert oracle.synthesis is not None
    assert combined.synthesis is not None
    assert (combined.synthesis.strategy, oracle.synthesis.strategy) == ("prior", "oracle")
    assert oracle.synthesis.multiple == combined.synthesis.multiple == 2
    assert oracle.training_settings() == combined.training_settings()
    assert [(arm.is_positive_control, arm.is_control) for arm in config.arms] == [
        (False, True),
        (False, False),
        (True, False),
    ]
    assert refusal("images", arms, "data.long_tail=9", "evaluation.primary.arm=oracle") == [
        "evaluation.primary.arm: 'oracle' is the positive control; arms that are no controls: combined"
    ]


def test_the_simplest_arms_have_the_fewest_ingredients(data: Path) -> None:
    names = ["original", "balanced", "traditional", "control", "synthetic", "combined", "deferred", "cutmix", "picked"]
    arms = load("images", [f"arms=[{', '.join(names)}]"]).arms
    assert [arm.ingredients for arm in arms] == [0, 1, 1, 2, 1, 3, 2, 3, 4]


def test_numbers_by_class(data: Path, refusal: Refusal) -> None:
    """Class names may look like numbers; a single one can be set."""
    config = load("images", ["data.per_class={0: 20, default: 100}", "data.per_class.1=5"])
    assert config.data.per_class == {"0": 20, "1": 5, "default": 100}
    assert refusal("images", "data.per_class={a: none}") == [
        'data.per_class: got {"a": "none"}, expected a whole number of at least 1, or a mapping whose values are each '
        "a whole number of at least 1, or nothing (null)"
    ]


def test_every_pattern_has_its_words() -> None:
    from synaug_core.config import keys

    patterned = {
        found.pattern
        for annotation in keys.known_keys().values()
        for found in metadata_of(annotation)
        if getattr(found, "pattern", None)
    }
    assert patterned == set(keys._PATTERNS)


def metadata_of(annotation: Any) -> Iterator[Any]:
    for entry in getattr(annotation, "__metadata__", ()):
        yield from entry.metadata if isinstance(entry, FieldInfo) else [entry]
    for inner in typing.get_args(annotation):
        yield from metadata_of(inner)
