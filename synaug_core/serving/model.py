"""The version that is served: loaded beside the old one, then put in its place at once."""

from __future__ import annotations

import datetime as dt
import logging
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synaug_core.errors import ArtifactError
from synaug_core.services.models import exported, registry
from synaug_core.services.secrets import first_line
from synaug_core.services.settings import Settings

if TYPE_CHECKING:
    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.data.scaling import Preprocessing

__all__ = ["Holder", "Served", "load_version"]

_LONGEST_PAUSE = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Served:
    """A version that can answer. A request takes it once and uses it to its end.

    Attributes:
        preprocessing: how image files become what it sees, as in its training.
        since: when it began to be served, in UTC.
    """

    name: str
    version: str
    alias: str
    classifier: TrainedClassifier
    preprocessing: Preprocessing
    since: dt.datetime


def load_version(current: Settings, version: registry.ModelVersion, alias: str, device: str) -> Served:
    """Fetch a version's classifier, check it against its digest, and let it answer once. Runs none of its code.

    Raises:
        ArtifactError: files are missing or damaged, or it predicts values that are not finite numbers.
    """
    import numpy as np
    import torch

    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.devices import resolve

    with tempfile.TemporaryDirectory(prefix="synaug-") as folder:
        staging = Path(folder)
        preprocessing = exported.trained_preprocessing(current, version.source, staging / "described")
        classifier = TrainedClassifier.load(
            exported.classifier_folder(current, version.source, staging), resolve(device)
        )
    blank = torch.zeros(1, classifier.channels, classifier.size, classifier.size, dtype=torch.uint8)
    if not np.isfinite(classifier.predict(blank)).all():
        raise ArtifactError(f"{version.name} version {version.version} predicts values that are not finite numbers")
    return Served(version.name, version.version, alias, classifier, preprocessing, dt.datetime.now(dt.UTC))


class Holder:
    """Looks at an alias every few seconds, in a thread of its own, and holds the version behind it.

    Where that cannot be loaded, or the alias or the registry is gone, the version before stays; `problem` says why.

    Args:
        settings: where MLflow is.
        name: registered model.
        alias: of the version that is served.
        device: auto, cpu or cuda.
        poll: seconds between two looks.
        announce: called with a line for each change.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        alias: registry.Alias,
        *,
        device: str = "auto",
        poll: float = 5.0,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._settings, self._name, self._alias = settings, name, alias
        self._device, self._poll, self._announce = device, poll, announce
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._refused: tuple[str, float, float] | None = None
        self.served: Served | None = None
        self.problem: str | None = "starting"
        self.reloads = 0
        self.failures = 0

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, name="synaug-alias", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 10.0) -> None:
        """End the thread; a load that is under way is waited for a while."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(patience)

    def refresh_model(self) -> None:
        """Look at the alias once."""
        try:
            version = registry.current(self._settings, self._name, self._alias)
            if version is None:
                self._trouble(self._why_not())
                return
        except Exception as error:  # a registry that cannot be asked now is asked again
            self._trouble(f"the registry cannot be asked ({first_line(error)})")
            return
        if self.served is not None and self.served.version == version.version:
            self.problem = None
            return
        if self._refused is not None and self._refused[0] == version.version and time.monotonic() < self._refused[2]:
            return
        try:
            loaded = load_version(self._settings, version, self._alias, self._device)
        except Exception as error:  # whatever is wrong with the new version, the old one goes on
            pause = 2 * self._refused[1] if self._refused and self._refused[0] == version.version else self._poll
            pause = min(_LONGEST_PAUSE, pause)
            self._refused = (version.version, pause, time.monotonic() + pause)
            self.failures += 1
            _log.warning("version %s cannot be loaded", version.version, exc_info=True)
            self._trouble(f"version {version.version} cannot be loaded ({first_line(error)})")
            return
        self.reloads += self.served is not None
        self.served, self.problem, self._refused = loaded, None, None
        self._announce(f"{self._name} version {loaded.version} ({self._alias}) is served")

    def _run(self) -> None:
        while not self._ended.is_set():
            self.refresh_model()
            self._ended.wait(self._poll)

    def _why_not(self) -> str:
        names = registry.names(self._settings)
        if self._name in names:
            return f"{self._name} has no {self._alias}"
        return f"there is no registered model {self._name!r}; {registry.in_words(names)}"

    def _trouble(self, reason: str) -> None:
        consequence = f"; version {self.served.version} goes on" if self.served else "; waiting for it"
        if reason != self.problem:
            self._announce(f"{reason}{consequence}")
        self.problem = reason
