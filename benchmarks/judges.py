"""How far judges can be trusted: what the label filter would drop of the real images, class by class, out of fold.

python -m benchmarks.judges SOURCE [--size 112] [--training frozen] [--steps 500]

The judges are those of a retraining with these images, of its training part.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import fmean
from typing import Any

from synaug_core import devices
from synaug_core.config import ClassifierConfig, DataConfig, FilterConfig, JudgeConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.data.prepare import prepare
from synaug_core.quality.consistency import measure_real_consistency, measure_real_labels
from synaug_core.quality.judge import Judges

__all__ = ["measure"]

_FIXED = 0.1


def measure(train: ImageSet, config: JudgeConfig, classifier: ClassifierConfig) -> dict[str, Any]:
    """Shares of the real images that are dropped at a fixed threshold and at `auto`: of each class, mean and most; the
    mean agreement, and seconds of training and judging."""
    start = time.perf_counter()
    judges = Judges.fit(train, classifier, config, seed=0)
    labels = measure_real_labels(judges, train)
    agreement = [c.agreement for c in measure_real_consistency(judges, train).values() if c.agreement is not None]
    seconds = time.perf_counter() - start
    dropped: dict[str, dict[str, float]] = {"fixed": {}, "auto": {}}
    for name, real in labels.items():
        least = FilterConfig().least_probability(real.low)
        dropped["fixed"][name] = real.share_below(_FIXED)
        dropped["auto"][name] = 0.0 if least is None else real.share_below(least)
    return {
        "images": len(train),
        "classes": len(labels),
        "judges": len(judges.members),
        "agreement": fmean(agreement),
        **{f"mean dropped, {way}": fmean(shares.values()) for way, shares in dropped.items()},
        **{f"most dropped, {way}": max(shares.values()) for way, shares in dropped.items()},
        "seconds": seconds,
        "by class": dropped,
    }


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--training", choices=["frozen", "classifier"], default="frozen")
    parser.add_argument("--steps", type=int, default=500, help="of each judge that is trained as the classifier is")
    options = parser.parse_args()
    train = prepare(DataConfig(source=options.source, image_size=options.size), seed=0).train
    config = JudgeConfig(training=options.training, steps=options.steps)
    with devices.cpu_threads(1):
        print(json.dumps(measure(train, config, ClassifierConfig()), indent=1))


if __name__ == "__main__":
    _main()
