"""Every strategy there is does what a strategy has to do."""

import pytest
import torch

from synaug_core.classify.training import TrainingJob
from synaug_core.classify.training import train as train_classifier
from synaug_core.config import STANDARD_ARMS, ClassifierConfig, SynthesisConfig
from synaug_core.config.synthesis import TargetedConfig
from synaug_core.synthesis import registry
from synaug_core.testing.conformance import make_images
from synaug_core.testing.strategies import STRATEGY_CHECKS, StrategySubject


@pytest.fixture(scope="module")
def target(train):
    config = ClassifierConfig(width=4, steps=4, batch_size=16, evaluate_every=2, dropout=0.3)
    return (train_classifier(TrainingJob(config, STANDARD_ARMS["original"], train, train, init_seed=1, batch_seed=1)),)


@pytest.mark.parametrize("check", STRATEGY_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(registry._STRATEGIES))
def test_strategy(check, name, train, autoencoder, target):
    config = SynthesisConfig(targeted=TargetedConfig(samples=4, steps=2))
    held_back = make_images({"small": 45}, 1, 16)
    check(StrategySubject(registry.find(name), train, "small", autoencoder, target, config, held_back))


def test_the_checks_see_what_is_wrong(train):
    def broken(source, n, config, *, seed):
        new = registry.find("duplicate").make(source, n, config, seed=seed)
        noise = torch.randint(0, 255, new.images.shape, dtype=torch.uint8)
        return type(new)(noise, [{"parents": ["large/0"]} for _ in range(n)])

    for check in STRATEGY_CHECKS[1:]:
        with pytest.raises(AssertionError):
            check(StrategySubject(registry.Entry(broken, generator=False), train, "small"))
