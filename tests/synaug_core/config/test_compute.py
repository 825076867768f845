"""Where steps run changes no result."""

from __future__ import annotations

from synaug_core.config import ComputeConfig
from synaug_core.frozen import identity


def test_where_steps_run_is_no_part_of_what_they_are() -> None:
    here = ComputeConfig(threads=2)
    there = ComputeConfig(threads=2, runner="dask", workers=9, deadline=3.0)
    assert identity(here) == identity(there)
    assert identity(here) != identity(ComputeConfig(threads=1))
