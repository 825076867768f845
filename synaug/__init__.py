"""Learn rare image classes, make the missing images, and show whether they helped.

>>> import synaug
>>> outcome = synaug.run("my-images", repetitions=6)
>>> outcome.verdict
'gain'

`docs/python.md` shows more. Importing this package loads neither torch nor mlflow nor prefect; using it does.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synaug.loading import Images, Model, load_images, load_model
    from synaug.retraining import Outcome, run
    from synaug_core.config import Config
    from synaug_core.errors import SynaugError, UserError

__all__ = ["Config", "Images", "Model", "Outcome", "SynaugError", "UserError", "load_images", "load_model", "run"]

_MODULES = {
    "Config": "synaug_core.config",
    "Images": "synaug.loading",
    "Model": "synaug.loading",
    "Outcome": "synaug.retraining",
    "SynaugError": "synaug_core.errors",
    "UserError": "synaug_core.errors",
    "load_images": "synaug.loading",
    "load_model": "synaug.loading",
    "run": "synaug.retraining",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'synaug' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
