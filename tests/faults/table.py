"""The faults that are done to a whole retraining, as data: what, when, and what has to come of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal

Expected = Literal["recovers", "one line", "killed"]
RECOVERS: Expected = "recovers"
ONE_LINE: Expected = "one line"
KILLED: Expected = "killed"

_moments = random.Random(7)
ALL = 10**6


@dataclass(frozen=True)
class Step:
    """When so many steps of a stage are over, and some seconds later."""

    stage: str
    number: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class Request:
    """When the n-th request of this kind comes by. `whose`: those to MLflow's server, or to S3."""

    whose: Literal["mlflow", "s3"]
    part: str
    number: int = 1
    method: str = ""


@dataclass(frozen=True)
class RunFault:
    """One fault.

    Attributes:
        id: short and for ever.
        what: is injected, in words.
        when: it happens.
        act: what is done then: see `Acts` in test_runs.py.
        given: to the act.
        expected: of the command that was running.
        says: has to be in the one line.
        direct: MLflow's client works without a server in between.
        variables: further environment.
    """

    id: str
    what: str
    when: Step | Request
    act: str
    expected: Expected
    given: dict[str, Any] = field(default_factory=dict)
    says: str = ""
    direct: bool = False
    variables: dict[str, str] = field(default_factory=dict)


def _random(whose: Literal["mlflow", "s3"], low: int, high: int) -> Request:
    """Anywhere in a run: it makes about 250 requests to MLflow and as many to S3."""
    return Request(whose, "", _moments.randint(low, high))


# MLflow's own patience is minutes; a user who wants to know sooner sets these.
SOON = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}

RUN_FAULTS = (
    RunFault("flow-dataset", "kill -9 of the flow while it stores the images",
             Request("s3", "images/val.parquet", 1, "PUT"), "kill flow", KILLED),
    RunFault("flow-weights", "kill -9 of the flow between the files of a generator",
             Request("mlflow", "weights.safetensors", 1, "PUT"), "kill flow", KILLED),
    RunFault("flow-training", "kill -9 of the flow while arms are trained",
             Step("tuning", 3, 0.3), "kill flow", KILLED),
    RunFault("flow-alias", "kill -9 of the flow between the list of champions and the alias",
             Request("mlflow", "registered-models/alias", 1, "POST"), "kill flow", KILLED),
    RunFault("flow-random-1", "kill -9 of the flow at a random moment",
             _random("mlflow", 10, 120), "kill flow", KILLED),
    RunFault("flow-random-2", "kill -9 of the flow at a random moment, artifacts straight to S3",
             _random("s3", 20, 90), "kill flow", KILLED, direct=True),
    RunFault("mlflow-back", "kill -9 of the MLflow server, back after 3 s",
             _random("mlflow", 40, 160), "kill server", RECOVERS, {"name": "mlflow", "back": 3.0}),
    RunFault("mlflow-away", "kill -9 of the MLflow server, which stays away",
             _random("mlflow", 40, 160), "kill server", ONE_LINE, {"name": "mlflow"},
             says="MLFLOW_TRACKING_URI", variables=SOON),
    RunFault("postgres-back", "kill -9 of PostgreSQL (of MLflow, Prefect and Optuna), back after 2 s",
             _random("mlflow", 40, 160), "kill server", RECOVERS, {"name": "database", "back": 2.0}),
    RunFault("postgres-direct", "kill -9 of PostgreSQL while the flow itself writes to it, back after 2 s",
             _random("s3", 20, 90), "kill server", RECOVERS, {"name": "database", "back": 2.0}, direct=True),
    RunFault("s3-back", "kill -9 of the S3 server, back after 3 s",
             _random("s3", 20, 90), "kill server", RECOVERS, {"name": "store", "back": 3.0}),
    RunFault("s3-away", "kill -9 of the S3 server, which stays away; artifacts straight to S3",
             _random("s3", 20, 90), "kill server", ONE_LINE, {"name": "store"}, says="the server does not answer",
             direct=True, variables={"AWS_MAX_ATTEMPTS": "3"}),
    RunFault("prefect-back", "kill -9 of the Prefect server, back after 2 s",
             Step("generator", 1), "kill server", RECOVERS, {"name": "prefect", "back": 2.0}),
    RunFault("keys-changed", "the S3 keys are exchanged in the middle of a run, artifacts straight to S3",
             _random("s3", 20, 90), "change keys", ONE_LINE, says="no access to", direct=True),
    RunFault("disk-full", "the disk with SYNAUG_HOME is full in the middle of a run",
             Step("generator", 1), "fill disk", ONE_LINE, says="no space left"),
)  # fmt: skip
