"""The process that a flow runs in: its memory, its signals, and the mark by which its death is noticed."""

import contextlib
import ctypes
import gc
import signal
import threading
from collections.abc import Callable, Iterator

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import TagsContext
from prefect.runtime import flow_run
from prefect.states import Crashed

from synaug_core.names import time_text
from synaug_core.services.processes import is_dead, own_identity
from synaug_core.services.settings import settings

__all__ = [
    "as_text",
    "close_dead_runs",
    "dated",
    "keep_freed_memory",
    "libraries_aside",
    "process_tag",
    "set_libraries_aside",
    "sigterm_as_ctrl_c",
    "untagged_steps",
]

_blocks: list[None] = []


def dated(template: str) -> Callable[[], str]:
    """Names for the runs of a flow: the template with the flow's parameters, and the minute when a run begins."""

    def make_name() -> str:
        return f"{template.format(**flow_run.parameters)} {time_text()}"

    return make_name


def as_text(name: str) -> str:
    """A name inside a template: its braces are no parameters."""
    return name.replace("{", "{{").replace("}", "}}")


@contextlib.contextmanager
def libraries_aside() -> Iterator[None]:
    """`set_libraries_aside` at once, and again where the block does it; the end of the outermost block undoes it."""
    _blocks.append(None)
    set_libraries_aside()
    try:
        yield
    finally:
        _blocks.pop()
        if not _blocks:
            gc.unfreeze()


def set_libraries_aside() -> None:
    """To be called when libraries were loaded: no collection looks at what there is now, until the block ends.

    A full collection would look at each of close to a million objects that stay anyway, and every thread waits
    meanwhile: 0.6 seconds on a small machine, some five times in a retraining of a minute. Garbage in cycles that is
    there already waits too.
    """
    gc.freeze()


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_LARGEST = 32 * 2**20  # bytes; where glibc itself ends up when nobody sets a threshold


def keep_freed_memory() -> None:
    """Keep what tensors of up to 32 MiB leave for the next ones, unless a variable of glibc's malloc says otherwise.

    Else larger tensors go back to the system and are fetched from it again, page by page: in threads at each end of a
    tensor that empties a heap, and in Dask's workers, which are started with MALLOC_TRIM_THRESHOLD_=65536, always.
    Only glibc is asked.
    """
    if not settings().keeps_memory:
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST)


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside a flow, SIGTERM is handled as SIGINT where the caller has a handler of its own for that.

    Prefect's handler raises in the main thread and then waits for the running steps, which can take hours. Without
    a handler for SIGINT, as under a server's worker, Prefect's stays: the server cancels runs by it.
    """
    own = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or own in (signal.default_int_handler, None):
        yield
        return
    before = signal.signal(signal.SIGTERM, own)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


_PREFIX = "process:"


def process_tag() -> str:
    """Tag of a flow run that says which process makes it."""
    return f"{_PREFIX}{own_identity()}"


def untagged_steps() -> contextlib.AbstractContextManager[object]:
    """Inside, steps do not inherit the flow run's tags: for each tag of a step Prefect asks the server for a slot."""
    return TagsContext(current_tags=set())


def close_dead_runs(flow_name: str) -> int:
    """Set RUNNING runs of a flow whose process is known to be dead to CRASHED, and say how many there were."""
    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    named = FlowFilter(name=FlowFilterName(any_=[flow_name]))
    with get_client(sync_client=True) as client:
        left = [
            run
            for run in client.read_flow_runs(flow_filter=named, flow_run_filter=running)
            if any(tag.startswith(_PREFIX) and is_dead(tag.removeprefix(_PREFIX)) for tag in run.tags)
        ]
        for run in left:
            client.set_flow_run_state(run.id, Crashed(message="its process was killed"), force=True)
    return len(left)
