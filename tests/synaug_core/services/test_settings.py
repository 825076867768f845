from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from synaug_core.errors import ConfigError
from synaug_core.services.settings import child_environment, embedded_environment, settings


def test_the_default_lies_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    found = settings({})
    home = tmp_path / ".synaug"
    assert found.home == home
    assert found.tracking_uri == f"sqlite:///{home}/mlflow.db"
    assert found.artifact_root == str(home / "artifacts")
    assert found.tuning_storage == str(home / "tuning.journal")
    assert found.prefect_home == home / "prefect"
    assert found.prefect_api_url is None
    assert found.data is None
    assert found.has_local_tracking


def test_a_workers_run_has_no_home_in_the_folder_that_it_starts_in() -> None:
    assert settings({"PREFECT__FLOW_RUN_ID": "1"}).home == Path.home() / ".synaug"
    assert settings({"PREFECT__FLOW_RUN_ID": "1", "SYNAUG_HOME": "/srv/x"}).home == Path("/srv/x")


def test_the_environment_is_honoured_and_empty_variables_are_not_set(tmp_path: Path):
    found = settings(
        {
            "SYNAUG_HOME": str(tmp_path),
            "MLFLOW_TRACKING_URI": "https://mlflow.example:5000",
            "SYNAUG_TUNING_STORAGE": "postgresql://host/optuna",
            "PREFECT_API_URL": "http://prefect.example/api",
            "PREFECT_HOME": "",
            "SYNAUG_DATA": "~/data",
        }
    )
    assert found.artifact_root is None
    assert not found.has_local_tracking
    assert found.tuning_storage == "postgresql://host/optuna"
    assert found.prefect_api_url == "http://prefect.example/api"
    assert found.prefect_home == tmp_path / "prefect"
    assert found.data == Path.home() / "data"


@pytest.mark.parametrize(
    ("variables", "keeps"),
    [
        ({}, True),
        ({"MALLOC_TRIM_THRESHOLD_": "65536"}, True),  # Dask's, not the user's
        ({"MALLOC_TRIM_THRESHOLD_": "70000"}, False),
        ({"MALLOC_MMAP_THRESHOLD_": "65536"}, False),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}, False),
    ],
)
def test_malloc_is_left_alone_where_the_user_has_a_choice_of_his_own(variables: dict[str, str], keeps: bool):
    assert settings(variables).keeps_memory is keeps


def test_artifacts_of_a_database_may_go_elsewhere():
    assert settings({"SYNAUG_ARTIFACT_ROOT": "s3://bucket/runs"}).artifact_root == "s3://bucket/runs"


def test_no_password_is_shown():
    found = settings(
        {
            "MLFLOW_TRACKING_URI": "postgresql+psycopg2://me:hunter2@host/mlflow",
            "SYNAUG_TUNING_STORAGE": "postgresql://me:hunter2@host/optuna",
            "PREFECT_API_URL": "https://me:hunter2@host/api",
        }
    )
    assert "hunter2" not in repr(found)
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "ftp://me:hunter2@host"])
def test_a_tracking_address_that_cannot_be_used_is_named(uri: str):
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI: ") as caught:
        settings({"MLFLOW_TRACKING_URI": uri})
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_environment_names_a_scheduler():
    assert settings({}).dask_scheduler is None
    assert (
        settings({"SYNAUG_DASK_SCHEDULER": "tls://scheduler.dask:8786"}).dask_scheduler == "tls://scheduler.dask:8786"
    )


@pytest.mark.parametrize("address", ["scheduler:8786", "http://x:1", "tcp://", "tcp://someone:secret@x:1", "tcp://a b"])
def test_an_address_of_a_scheduler_is_one_of_dask_and_holds_no_password(address: str):
    with pytest.raises(ConfigError, match="SYNAUG_DASK_SCHEDULER") as refused:
        settings({"SYNAUG_DASK_SCHEDULER": address})
    assert "secret" not in str(refused.value)


def test_the_embedded_default_never_overrides_the_user(tmp_path: Path):
    current = settings({"SYNAUG_HOME": str(tmp_path)})
    wanted = embedded_environment(current, {})
    assert wanted["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert wanted["PREFECT_RESULTS_DEFAULT_SERIALIZER"] == "json"
    assert wanted["DO_NOT_TRACK"] == "true"
    assert wanted["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    given = {"PREFECT_HOME": "/elsewhere", "MLFLOW_LOGGING_LEVEL": "DEBUG"}
    assert embedded_environment(current, given).keys() == wanted.keys() - given.keys()


def test_a_child_process_gets_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOMETHING", "else")
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    found = child_environment(settings({"SYNAUG_HOME": str(tmp_path)}), PREFECT_UI_ENABLED="0")
    assert found["SOMETHING"] == "else"
    assert found["DO_NOT_TRACK"] == "1"
    assert found["PREFECT_UI_ENABLED"] == "0"
    assert found["SYNAUG_HOME"] == str(tmp_path)


def test_asking_for_settings_loads_no_slow_library():
    code = "import sys, synaug_core.services.settings as s; s.settings(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"mlflow", "prefect", "torch", "pandas", "boto3"} & set(loaded)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_no_proxy_is_asked_for_this_machine(name: str):
    found = embedded_environment(settings({}), {name: "http://proxy.example:3128"})
    assert found["NO_PROXY"] == found["no_proxy"] == "127.0.0.1,localhost,::1"
    assert "NO_PROXY" not in embedded_environment(settings({}), {})


def test_hosts_without_a_proxy_stay_and_this_machine_comes_to_them():
    variables = {"HTTP_PROXY": "http://proxy.example", "no_proxy": "intern.example, localhost", "NO_PROXY": "b.example"}
    found = embedded_environment(settings({}), variables)
    assert found["no_proxy"] == found["NO_PROXY"] == "intern.example,localhost,b.example,127.0.0.1,::1"
    assert "NO_PROXY" not in embedded_environment(settings({}), {**variables, "NO_PROXY": "*"})


def test_clients_read_it_so(monkeypatch: pytest.MonkeyPatch):
    from urllib.request import proxy_bypass

    from httpx._utils import get_environment_proxies

    for name, value in embedded_environment(settings({}), {"ALL_PROXY": "http://proxy.example:1"}).items():
        if "proxy" in name.lower():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:1")
    assert proxy_bypass("127.0.0.1:4200")
    assert get_environment_proxies()["all://127.0.0.1"] is None


@pytest.mark.parametrize("name", ["SYNAUG_HOME", "PREFECT_HOME"])
def test_a_folder_that_no_database_can_lie_in_is_refused(name: str):
    with pytest.raises(ConfigError, match=f"{name}: no database can lie in '/tmp/what.x', for its"):
        settings({name: "/tmp/what?x"})
