"""Where steps run: what has to be said together, and what changes no result."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from synaug_core.config import ComputeConfig
from synaug_core.refs import identity


def test_a_cluster_needs_dask_and_the_number_of_its_steps() -> None:
    address = "tcp://scheduler.dask:8786"
    assert ComputeConfig(runner="dask", workers=8, scheduler=address).scheduler == address
    with pytest.raises(ValidationError, match=r"scheduler: needs compute\.runner: dask"):
        ComputeConfig(workers=8, scheduler=address)
    with pytest.raises(ValidationError, match=r"say in compute\.workers how many"):
        ComputeConfig(runner="dask", scheduler=address)


@pytest.mark.parametrize("address", ["scheduler:8786", "http://x:1", "tcp://", "tcp://someone:secret@x:1", "tcp://a b"])
def test_an_address_is_one_of_dask_and_holds_no_password(address: str) -> None:
    with pytest.raises(ValidationError, match="scheduler"):
        ComputeConfig(runner="dask", workers=1, scheduler=address)


def test_where_steps_run_is_no_part_of_what_they_are() -> None:
    here = ComputeConfig(threads=2)
    there = ComputeConfig(threads=2, runner="dask", workers=9, scheduler="tcp://x:1", deadline=3.0)
    assert identity(here) == identity(there)
    assert identity(here) != identity(ComputeConfig(threads=1))
