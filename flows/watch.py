"""The watch over a served model: do the images of today still look like those it was judged on?"""

from prefect import flow, tags

from flows.process import close_dead_runs, dated, process_tag, sigterm_as_ctrl_c, untagged_steps
from synaug_core.config import Config
from synaug_core.drift.finding import Finding
from synaug_core.frozen import Frozen
from tasks.watch import compare_inputs, start_retraining

__all__ = ["WatchOutcome", "run_watch", "watch"]


class WatchOutcome(Frozen):
    """What a look came to; its JSON is what `synaug watch --json` writes."""

    run_id: str
    experiment: str
    model: str
    version: str
    verdict: str
    sentence: str
    finding: Finding
    retraining: str | None
    """What was started because of it, in one line."""


@flow(name="watch", flow_run_name=dated("{config.name}"), persist_result=False)
def watch(config: Config = Config()) -> WatchOutcome:
    """Compare the champion's recent inputs with the images it was judged on; where there is drift and
    `watch.deployment` names one, start that deployment."""
    with untagged_steps(), sigterm_as_ctrl_c():
        observation = compare_inputs(config)
        started = None
        if observation.finding.verdict == "drift" and config.watch.deployment:
            run_id, new = start_retraining(observation, config.watch.deployment)
            started = f"{config.watch.deployment} {'started' if new else 'was started before'} (flow run {run_id})"
    return WatchOutcome(
        run_id=observation.run.run_id,
        experiment=observation.run.experiment,
        model=observation.model,
        version=observation.version,
        verdict=observation.finding.verdict,
        sentence=observation.finding.sentence,
        finding=observation.finding,
        retraining=started,
    )


def run_watch(config: Config) -> WatchOutcome:
    """`watch` in this process."""
    close_dead_runs(watch.name)
    with tags(process_tag()):
        return watch(config)
