"""Bring a Prefect server to what the configurations ask for; done twice, it is done once."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from deployments import automations, pools, server
from deployments.plan import QUEUE, Options, plan, plan_report
from synaug_core import errors
from synaug_core.config import Config
from synaug_core.config.sweep import SweepConfig
from synaug_core.vocabulary import PoolKind

__all__ = ["Applied", "apply"]


@dataclass(frozen=True)
class Applied:
    """One thing on the server.

    Attributes:
        kind: work pool, deployment or automation.
        change: "made", "changed" or "unchanged".
        cron: of a deployment; None: it runs when started.
    """

    kind: str
    name: str
    change: str
    cron: str | None = None


def apply(
    configurations: Sequence[tuple[Config, SweepConfig | None]],
    options: Options,
    *,
    pool_kind: PoolKind = "process",
    renew_pool: bool = False,
) -> list[Applied]:
    """Apply everything for these data sets to the server at PREFECT_API_URL.

    Nothing is written before all of it has been checked, except where the server itself refuses something.

    Args:
        configurations: each with its sweep where it has one.
        options: how they run.
        pool_kind: type of the work pool, for one that is made.
        renew_pool: give an existing work pool our template again.

    Raises:
        ConfigError: a schedule is none, or the server has no such notification block.
        UserError: the work pool exists and is of another type.
    """
    plans = [(config, plan(config, options, sweep)) for config, sweep in configurations]
    done: list[Applied] = []
    with get_client(sync_client=True) as client:
        block = _find_block(client, options.notify) if options.notify else None
        change = pools.apply_pool(client, options.pool, pool_kind, renew=renew_pool)
        done.append(Applied("work pool", options.pool, change))
        for config, planned in plans:
            for one in planned:
                number, change = server.apply_deployment(client, one)
                done.append(Applied("deployment", one.full_name, change, one.cron))
                if one.flow == "retrain":
                    automation = automations.retrain_on_change(config.name, one.name, number)
                    done.append(
                        Applied("automation", automation.name, automations.apply_automation(client, automation))
                    )
        report = plan_report(options.pool, options.job_variables)
        pools.apply_queue(client, options.pool, QUEUE)
        number, change = server.apply_deployment(client, report)
        done.append(Applied("deployment", report.full_name, change))
        shared = [automations.report_failures(options.pool, number), automations.close_dead_runs()]
        if block is not None:
            shared.append(automations.tell_of_failures(options.notify, block))
        for automation in shared:
            done.append(Applied("automation", automation.name, automations.apply_automation(client, automation)))
        automations.delete_reports_of_all_pools(client)
    return done


def _find_block(client: SyncPrefectClient, slug: str) -> UUID:
    kind, _, name = slug.partition("/")
    try:
        return client.read_block_document_by_name(name, kind, include_secrets=False).id
    except ObjectNotFound as error:
        raise errors.ConfigError(
            f"--notify {slug}: the Prefect server has no such block; make it on the server's page, under Blocks, or "
            "name one as TYPE/NAME, such as slack-webhook/ops"
        ) from error
