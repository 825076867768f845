"""Who became champion when, and why: one list for each registered model, in which each line is written once.

MLflow's aliases and tags are overwritten by whoever comes last, so two machines could each believe to have promoted.
A run's *parameters* however are write-once: the database refuses a second value under the same name. So the list is
kept as the parameters 000001, 000002, ... of one run, and whoever writes the next number first has won: the others
are refused, on every machine and behind every kind of MLflow server.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import asdict, dataclass
from typing import Any, Literal

from synaug_core.errors import SynaugError
from synaug_core.services import locks, places, retry, secrets, settings
from synaug_core.services.mlflow import clients
from synaug_core.services.mlflow.tags import Tag

__all__ = ["EXPERIMENT", "Entry", "PromotionLog", "drop_log", "new_log", "open_log"]

EXPERIMENT = "synaug-registry"
"""The MLflow experiment with one run for each registered model."""

_DONE = ".done"
_LONGEST_REASON = 1000

Action = Literal["promote", "rollback", "found"]


@dataclass(frozen=True)
class Entry:
    """One change of the champion.

    Attributes:
        number: 1, 2, ...
        action: "found": somebody moved the aliases in MLflow itself, and the list took note afterwards.
        champion: the version that is champion from here on; None: none is.
        previous: the one to which a rollback goes back.
        by: "the gate", "a person", ...
        why: in words.
        when: in UTC, by the clock of the machine that made the change.
        id: tells two equal entries of two writers apart.
    """

    number: int
    action: Action
    champion: str | None
    previous: str | None
    by: str
    why: str
    when: dt.datetime
    id: str

    def to_text(self) -> str:
        """JSON, without the number, which is the parameter's name."""
        values = {"at" if key == "when" else key: value for key, value in asdict(self).items() if key != "number"}
        return json.dumps(values | {"at": self.when.isoformat(timespec="seconds")})

    @classmethod
    def of_text(cls, number: int, text: str) -> Entry:
        """What `to_text` wrote."""
        values = json.loads(text)
        when = dt.datetime.fromisoformat(values.pop("at"))
        return cls(number=number, when=when, **values)


@dataclass(frozen=True)
class PromotionLog:
    """One registered model's list; `read` asks MLflow each time."""

    mlflow: Any
    run_id: str

    def read(self) -> tuple[list[Entry], set[int]]:
        """The entries in order, and the numbers of those that the aliases have followed.

        Raises:
            SynaugError: the run that holds the list was deleted for good.
            MlflowException: MLflow cannot say.
        """
        from mlflow.exceptions import MlflowException

        try:
            run = retry.patiently(self.mlflow.get_run, self.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # the advice below would cost the history
                raise
            raise SynaugError(
                f"the MLflow run {self.run_id} with the history of promotions is gone; delete the tag "
                f"{Tag.PROMOTION_LOG} of the registered model to begin a new one"
            ) from error
        if run.info.lifecycle_stage == "deleted":
            retry.patiently(self.mlflow.restore_run, self.run_id)
        params: dict[str, str] = run.data.params
        entries = [Entry.of_text(int(key), params[key]) for key in sorted(k for k in params if k.isdigit())]
        return entries, {int(k.removesuffix(_DONE)) for k in params if k.endswith(_DONE)}

    def claim(
        self, number: int, *, action: Action, champion: str | None, previous: str | None, by: str, why: str
    ) -> tuple[Entry, bool]:
        """Write the entry `number`, once for all: the entry that stands there now, and whether it is this one."""
        claimed = Entry(
            number=number,
            action=action,
            champion=champion,
            previous=previous,
            by=by,
            why=secrets.redacted(why)[:_LONGEST_REASON],
            when=dt.datetime.now(dt.UTC).replace(microsecond=0),
            id=uuid.uuid4().hex,
        )
        self._write_once(f"{number:06d}", claimed.to_text())
        stands = next(entry for entry in self.read()[0] if entry.number == number)
        return stands, stands.id == claimed.id

    def finish(self, entry: Entry) -> None:
        """Note that the aliases have followed an entry."""
        self._write_once(f"{entry.number:06d}{_DONE}", "true")

    def _write_once(self, key: str, value: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            retry.patiently(self.mlflow.log_param, self.run_id, key, value)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":  # somebody wrote another value first
                raise


def new_log(current: settings.Settings, name: str) -> str:
    """Make the run that holds a model's list, and give its id."""
    mlflow = clients.client(current)
    tags = {Tag.STAGE: "registry", Tag.MODEL: name, Tag.SOURCE_NAME: "synaug"}
    run = retry.patiently(mlflow.create_run, clients.experiment_id(current, EXPERIMENT), tags=tags, run_name=name)
    retry.patiently(mlflow.set_terminated, run.info.run_id, "FINISHED")
    return str(run.info.run_id)


def drop_log(current: settings.Settings, run_id: str) -> None:
    """Delete a run that `new_log` made and that no model took."""
    retry.patiently(clients.client(current).delete_run, run_id)


def open_log(current: settings.Settings, name: str) -> PromotionLog:
    """The list of a registered model that exists.

    A model that synaug registers gets its list in the same transaction. One that came from elsewhere gets it here,
    where only the processes of one machine are kept apart.
    """
    mlflow = clients.client(current)
    if (run_id := _tagged(mlflow, name)) is None:
        with locks.exclusive(places.lock(current.home, "registry")):
            if (run_id := _tagged(mlflow, name)) is None:
                run_id = new_log(current, name)
                retry.patiently(mlflow.set_registered_model_tag, name, Tag.PROMOTION_LOG, run_id)
    return PromotionLog(mlflow, run_id)


def _tagged(mlflow: Any, name: str) -> str | None:
    run_id: str | None = retry.patiently(mlflow.get_registered_model, name).tags.get(Tag.PROMOTION_LOG)
    return run_id
