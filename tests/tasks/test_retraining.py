"""Other data under the same name are told of."""

from __future__ import annotations

import pytest

from synaug_core.config import Config
from synaug_core.services.mlflow.runs import recording
from synaug_core.services.settings import settings
from tasks.retraining import note_shared_name

pytestmark = pytest.mark.usefixtures("home")


def data_set(source: str) -> None:
    with recording(settings(), experiment="synaug/pets", key=source, stage="dataset", name="dataset") as recorder:
        recorder.params({"source": source})


def test_other_data_of_the_same_name_are_told_of() -> None:
    config = Config.model_validate({"name": "pets", "data": {"source": "/b/pets"}})
    assert note_shared_name.fn(config) == ()
    data_set("/b/pets")
    assert note_shared_name.fn(config) == ()
    data_set("/a/pets")
    [note] = note_shared_name.fn(config)
    assert "the name pets is also that of retrainings of /a/pets, which share" in note
    data_set("/c/pets")
    assert "/a/pets and 1 more" in note_shared_name.fn(config)[0]
