from synaug_core.services.mlflow.sources import sources_of
from synaug_core.services.mlflow.tracking import recording
from synaug_core.services.settings import Settings


def test_the_sources_of_an_experiment_are_those_of_its_data_sets(current: Settings) -> None:
    assert sources_of(current, "synaug/pets") == frozenset()
    for key, stage, source in (("1", "dataset", "/a/pets"), ("2", "dataset", "/b/pets"), ("3", "retrain", "/c")):
        with recording(current, experiment="synaug/pets", key=key, stage=stage, name=key) as recorder:
            recorder.params({"source": source})
    assert sources_of(current, "synaug/pets") == {"/a/pets", "/b/pets"}
    assert sources_of(current, "synaug/other") == frozenset()
