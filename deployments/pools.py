"""Work pools: where runs run. Each kind has a template in `templates/`, which may also be given to Prefect by hand."""

import contextlib
import json
from importlib import resources
from typing import Any, get_args

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from synaug_core import errors, vocabulary

__all__ = ["KINDS", "apply_pool", "apply_queue", "template"]

KINDS: tuple[vocabulary.PoolKind, ...] = get_args(vocabulary.PoolKind)


def template(kind: vocabulary.PoolKind) -> dict[str, Any]:
    """The base job template of a kind of pool."""
    text = resources.files("deployments").joinpath("templates", f"{kind}.json").read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def apply_pool(
    client: SyncPrefectClient, name: str, kind: vocabulary.PoolKind = "process", *, renew: bool = False
) -> str:
    """Make the work pool where there is none; "made", "changed" or "unchanged".

    Args:
        client: of the server.
        name: of the pool.
        kind: its type.
        renew: give an existing pool our template again; otherwise it keeps what its administrator made of it.

    Raises:
        UserError: the pool exists and is of another type.
    """
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        try:
            client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template(kind)))
        except ObjectAlreadyExists:
            return apply_pool(client, name, kind, renew=renew)
        return "made"
    if pool.type != kind:
        raise errors.UserError(f"the work pool {name!r} is of type {pool.type}; name one of type {kind}, or a new one")
    if not renew or pool.base_job_template == template(kind):
        return "unchanged"
    client.update_work_pool(name, WorkPoolUpdate(base_job_template=template(kind)))
    return "changed"


def apply_queue(client: SyncPrefectClient, pool: str, name: str) -> None:
    """Make a work queue of a pool where there is none; its workers take runs from it before others."""
    try:
        client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_queue(name, priority=1, work_pool_name=pool)
