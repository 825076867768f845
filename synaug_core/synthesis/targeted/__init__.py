"""Targeted synthesis (Niemeijer et al., arXiv 2406.17473): images about which a classifier is unsure."""

from synaug_core.synthesis.targeted.offline import random, targeted
from synaug_core.synthesis.targeted.online import OnlineSynthesis

__all__ = ["OnlineSynthesis", "random", "targeted"]
