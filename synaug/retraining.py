"""`synaug.run`: a retraining from Python, and its outcome."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from synaug.cli import environment, failures, live, output
from synaug.cli.preview import preview
from synaug_core import errors, preflight
from synaug_core.config import Config, keys, load
from synaug_core.report import terminal

if TYPE_CHECKING:
    from flows import outcome

__all__ = ["Outcome", "configure", "run"]


def run(
    source: str | Path | Mapping[str, Any] | Config = "digits", *, quiet: bool = False, **settings: Any
) -> "Outcome":
    """Learn the classes, make synthetic images, train with and without them, compare, and register the best model.

    The call returns when all is done. Run again unchanged, it reuses every result; stopped and run again, it continues.

    Args:
        source: as of the command `synaug run`: a YAML file, or just the images (a folder of class folders, an
            `.npz` file, `s3://bucket/prefix`, `digits`); or a configuration, as `Config` or as a mapping.
        quiet: show no progress.
        settings: keys of the configuration, nested (`tuning={"trials": 0}`) or dotted (`**{"tuning.trials": 0}`).

    Raises:
        UserError: the configuration or its data cannot be used; one line for each thing that does not fit.
        SynaugError: anything else that is known to go wrong.
    """
    config = configure(source, settings)
    view = preview(config)
    if not quiet:
        output.print_plan(view.lines())
    preflight.check_config(config)
    services = environment.open_home()
    console = Console(stderr=True, force_jupyter=False)
    try:
        with live.watch(config.name, console, quiet, view.expected_seconds), environment.shared_orchestrator(services):
            from flows.retrain import run_retrain

            return Outcome(run_retrain(config))
    except Exception as error:
        user_error = failures.find_user_error(error)
        if user_error is None or user_error is error:
            raise
        raise user_error from error


def configure(source: str | Path | Mapping[str, Any] | Config, settings: Mapping[str, Any]) -> Config:
    """The configuration that a source and settings stand for; relative paths start at the working directory.

    Raises:
        ConfigError: one line for each thing that does not fit.
    """
    values: dict[str, Any] = {}
    if isinstance(source, Config):
        values = source.model_dump(mode="json", exclude_unset=True)
    elif isinstance(source, Mapping):
        settings = {**dict(_leaves(source)), **dict(_leaves(settings))}
    else:
        values = load.starting_values(str(source))
    for key, value in _leaves(settings):
        load.set_key(values, key, value, key)
    if "sweep" in values:
        raise errors.ConfigError(f"{source}: has a section `sweep`: use `synaug sweep`")
    return load.checked(values)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values; a mapping whose keys are the user's own is one value."""
    annotations = keys.known_keys()
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and not (key in annotations and keys.is_open_mapping(annotations[key])):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Outcome:
    """The outcome of one retraining.

    Whatever its record has is an attribute of it too: `verdict`, `sentence`, `best_arm`, `model`, `notes`, `run_id`.

    Attributes:
        record: all that `synaug run --json` writes, and the whole comparison.
    """

    record: "outcome.Outcome"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.record, name)

    @property
    def arms(self) -> pd.DataFrame:
        """A row for each arm; columns (metric as in MLflow, `mean` | `low` | `high`), NaN where undefined."""
        rows = {
            arm: {(metric, bound): value for metric, interval in metrics.items() for bound, value in interval.items()}
            for arm, metrics in self.record.arms.items()
        }
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.columns = pd.MultiIndex.from_tuples(
            [tuple(column) for column in table.columns], names=["metric", "bound"]
        )
        return table.rename_axis("arm")

    @property
    def report_path(self) -> Path | None:
        """The page with all evidence; None where the store is not on this machine (`record.comparison_page`)."""
        page = self.record.comparison_page
        return Path(page) if page and "://" not in page else None

    def __repr__(self) -> str:
        return f"<Outcome {self.run_id}: {self.sentence}>"

    def _repr_html_(self) -> str:
        """The command's table and sentence, for notebooks."""
        lines = "".join(f"<p>{escape(line)}</p>" for line in (self.sentence, *self.notes))
        if self.record.comparison is None:
            return lines
        console = Console(record=True, file=io.StringIO(), width=120, force_jupyter=False)
        console.print(terminal.table(self.record.comparison, sentence=False))
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>") + lines
