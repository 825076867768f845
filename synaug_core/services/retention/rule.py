"""What a clean-up may delete: a rule over runs, without a server.

A run is kept where one of these holds; everything else goes:

- it belongs to one of the last `keep` finished retrainings (sweeps, watches) of its experiment;
- its retraining ended less than `days` days ago;
- a registered version needs it: all of the retraining for a version that is or was champion or has another alias;
  the model's own run and the data set for every other version;
- a kept run stands for it, or a kept step's result lies in it;
- people judged its images in a Turing test;
- it is above a run that is kept, so that MLflow shows that one in its place.

Where something runs, the whole experiment is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from synaug_core.errors import ConfigError

__all__ = ["Plan", "Policy", "RunFacts", "VersionFacts", "decide"]

_DAY = 86_400.0


@dataclass(frozen=True)
class Policy:
    """How much of the past stays.

    Attributes:
        keep: so many finished retrainings of each experiment.
        days: and everything that ended within so many days.

    Raises:
        ConfigError: one of them is negative, or not a number.
    """

    keep: int = 5
    days: float = 30.0

    def __post_init__(self) -> None:
        if self.keep < 0 or not 0 <= self.days < float("inf"):
            raise ConfigError("gc: the number to keep and the days must not be negative")


@dataclass(frozen=True)
class RunFacts:
    """What the rule asks of a run.

    Attributes:
        ended: seconds since 1970 (UTC); of a run that has not ended, when it began.
        parent: the run above, also where that is no longer there.
        reused_from: the run that this one stands for.
        running: it may be written to at this moment.
        deleted: somebody deleted it in MLflow, where it could still be brought back.
        freed: it is deleted and a clean-up has removed its files.
        judged: people judged its images.
        thinned: when an earlier clean-up removed runs below it (seconds since 1970).
        names: ids of other runs that it is about (the retrainings of a sweep).
        images: in its artifacts.
    """

    id: str
    experiment: str
    stage: str
    ended: float
    parent: str | None = None
    reused_from: str | None = None
    finished: bool = True
    running: bool = False
    deleted: bool = False
    freed: bool = False
    judged: bool = False
    thinned: float | None = None
    names: tuple[str, ...] = ()
    images: int = 0
    artifacts: str = ""


@dataclass(frozen=True)
class VersionFacts:
    """What the rule asks of a registered version; `prized`: it is or was champion, or has another alias."""

    label: str
    run_id: str
    retraining: str
    prized: bool


@dataclass(frozen=True)
class Plan:
    """What goes, what stays and why.

    Attributes:
        removed: runs to delete, those above before those below.
        reasons: run -> why it stays, in words; runs below a kept retraining have its reason.
        busy: experiments that are left alone -> the run that goes on there.
        thinned: kept runs that lose runs below them.
    """

    removed: tuple[RunFacts, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    busy: Mapping[str, str] = field(default_factory=dict)
    thinned: tuple[RunFacts, ...] = ()


def decide(
    runs: Sequence[RunFacts],
    versions: Iterable[VersionFacts],
    mentions: Mapping[str, frozenset[str]],
    policy: Policy,
    now: float,
) -> Plan:
    """Apply the rule.

    Args:
        runs: every run of the experiments that may be cleaned, the deleted ones too.
        versions: every registered version.
        mentions: run -> other runs in which results of its step lie.
        policy: how much stays.
        now: seconds since 1970.
    """
    forest = _Forest(runs)
    for run in forest.tops():
        if (reason := forest.reason(run, policy, now)) is not None:
            forest.keep_tree(run.id, reason)
    for run in runs:
        if run.judged and not run.deleted:
            forest.keep(run.id, "people judged its images")
        orphan = run.parent is not None and run.parent not in forest.alive
        if (orphan or run.deleted) and now - run.ended < policy.days * _DAY:
            forest.keep(run.id, "young")
    for version in versions:
        _keep_version(forest, version)
    forest.keep_needed(mentions)
    busy = {run.experiment: run.id for run in runs if run.running}
    removed = [r for r in runs if r.id not in forest.reasons and r.experiment not in busy and not r.freed]
    removed_ids = {r.id for r in removed}
    thinned = {top for r in removed if (top := forest.top(r)) not in removed_ids and top in forest.alive}
    return Plan(
        removed=tuple(sorted(removed, key=lambda r: (r.experiment, forest.depth(r), r.id))),
        reasons=forest.reasons,
        busy=busy,
        thinned=tuple(forest.by_id[top] for top in sorted(thinned)),
    )


def _keep_version(forest: _Forest, version: VersionFacts) -> None:
    reason = f"registered as {version.label}"
    if version.prized:
        forest.keep_tree(version.retraining, reason)
    forest.keep_tree(version.run_id, reason)
    for run_id in (version.run_id, version.retraining):
        forest.keep(run_id, reason)
    for run in forest.below.get(version.retraining, ()):
        if run.stage in ("dataset", "promotion"):
            forest.keep(run.id, reason)


class _Forest:
    """Runs by id, by parent, and which of them stay."""

    def __init__(self, runs: Sequence[RunFacts]) -> None:
        self.by_id = {run.id: run for run in runs}
        self.alive = {run.id for run in runs if not run.deleted}
        self.reasons: dict[str, str] = {}
        self.below: dict[str, list[RunFacts]] = {}
        for run in runs:
            if run.parent is not None:
                self.below.setdefault(run.parent, []).append(run)
        self._rank = self._ranks()

    def tops(self) -> list[RunFacts]:
        """Runs below none, that are not deleted."""
        return [run for run in self.by_id.values() if run.parent is None and not run.deleted]

    def tree(self, run_id: str) -> list[RunFacts]:
        """A run and all below it, without the deleted ones."""
        runs: dict[str, RunFacts] = {}
        waiting = [run_id]
        while waiting:
            next_id = waiting.pop()
            if next_id in self.alive and next_id not in runs:
                runs[next_id] = self.by_id[next_id]
                waiting += [run.id for run in self.below.get(next_id, ())]
        return list(runs.values())

    def reason(self, run: RunFacts, policy: Policy, now: float) -> str | None:
        """Why a retraining as a whole stays, or None."""
        if now - self._ended(run) < policy.days * _DAY:
            return "young"
        return "among the last" if self._rank.get(run.id, policy.keep) < policy.keep else None

    def keep(self, run_id: str, reason: str) -> None:
        """A run, and those above it."""
        next_id: str | None = run_id
        while next_id is not None and next_id in self.by_id and next_id not in self.reasons:
            self.reasons[next_id] = reason
            next_id = self.by_id[next_id].parent

    def keep_tree(self, run_id: str, reason: str) -> None:
        """A run with all below it, and those above it."""
        for run in self.tree(run_id):
            self.keep(run.id, reason)

    def keep_needed(self, mentions: Mapping[str, frozenset[str]]) -> None:
        """Whatever the kept runs need, and what that needs."""
        waiting = list(self.reasons)
        while waiting:
            run = self.by_id[waiting.pop()]
            needed = {*(mentions.get(run.id, ())), *run.names, *([run.reused_from] if run.reused_from else [])}
            for needed_id in sorted(needed & (self.by_id.keys() - self.reasons.keys())):
                before = set(self.reasons)
                if needed_id in run.names:
                    self.keep_tree(needed_id, f"part of {run.stage} {run.id[:8]}")
                else:
                    self.keep(needed_id, f"used by {run.stage} {run.id[:8]}")
                waiting += self.reasons.keys() - before

    def top(self, run: RunFacts) -> str:
        """The highest known run above, or the run itself."""
        path = {run.id}
        while run.parent in self.by_id and run.parent not in path:
            run = self.by_id[run.parent]
            path.add(run.id)
        return run.id

    def depth(self, run: RunFacts) -> int:
        """How many known runs are above."""
        path: set[str] = set()
        while run.parent in self.by_id and run.id not in path:
            path.add(run.id)
            run = self.by_id[run.parent]
        return len(path)

    def _ended(self, run: RunFacts) -> float:
        """When the last of its own work ended: a step may have been made again later."""
        times = [r.ended for r in self.tree(run.id) if r.reused_from is None]
        return max(times, default=run.ended)

    def _ranks(self) -> dict[str, int]:
        """0 for the newest finished one of its kind in its experiment; one that lost parts does not count."""
        ranks: dict[str, int] = {}
        counts: dict[tuple[str, str], int] = {}
        whole = [r for r in self.tops() if r.finished and (r.thinned is None or self._ended(r) > r.thinned)]
        for run in sorted(whole, key=lambda r: (-self._ended(r), r.id)):
            kind = run.experiment, run.stage
            ranks[run.id] = counts.get(kind, 0)
            counts[kind] = ranks[run.id] + 1
        return ranks
