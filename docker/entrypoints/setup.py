"""What the servers need before the first run; run again, it mends what is missing and renews passwords."""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.request

ROLES = {"mlflow": ("mlflow", "mlflow_auth"), "prefect": ("prefect",), "tuning": ("tuning",)}


def stores() -> None:
    """One database role for each service, its databases, and the bucket."""
    databases()
    bucket(os.environ["SYNAUG_BUCKET"])


def databases() -> None:
    """Each role owns its databases and sees no other's."""
    import psycopg
    from psycopg.sql import SQL, Identifier, Literal

    address = f"postgresql://postgres@{os.environ['SYNAUG_PG']}/postgres"
    with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
        for role, owned in ROLES.items():
            password = Literal(os.environ[f"{role.upper()}_DB_PASSWORD"])
            exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            verb = SQL("ALTER" if exists else "CREATE")
            connection.execute(SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, Identifier(role), password))
            for name in owned:
                if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                    connection.execute(SQL("CREATE DATABASE {} OWNER {}").format(Identifier(name), Identifier(role)))
                    print(f"database {name} made")
                connection.execute(SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(Identifier(name)))


def bucket(name: str) -> None:
    """The bucket, where there is none."""
    import boto3
    from botocore.exceptions import ClientError

    client = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"))
    try:
        client.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        client.create_bucket(Bucket=name)
        print(f"bucket {name} made")


def services() -> None:
    """MLflow's user `worker`, the work pool, and the block that says where results go."""
    mlflow_user("worker", os.environ["MLFLOW_TRACKING_PASSWORD"])
    from prefect.client.orchestration import get_client

    from deployments.plan import QUEUE
    from deployments.pools import apply_pool, apply_queue
    from tasks.engine.result_storage import save_result_storage

    pool, address = os.environ.get("SYNAUG_POOL", "synaug"), f"s3://{os.environ['SYNAUG_BUCKET']}/prefect"
    with get_client(sync_client=True) as client:
        print(f"work pool {pool} {apply_pool(client, pool)}")
        apply_queue(client, pool, QUEUE)
    print(f"results go by {save_result_storage(address)}")


def mlflow_user(name: str, password: str) -> None:
    """Make the user, or give it this password."""
    if ask("GET", f"users/get?username={name}") is None:
        ask("POST", "users/create", {"username": name, "password": password})
        print(f"MLflow user {name} made")
    else:
        ask("PATCH", "users/update-password", {"username": name, "password": password})


def ask(method: str, path: str, body: dict[str, str] | None = None) -> bytes | None:
    """MLflow's answer to its administrator; None: there is no such thing."""
    login = base64.b64encode(f"admin:{os.environ['MLFLOW_AUTH_ADMIN_PASSWORD']}".encode()).decode()
    request = urllib.request.Request(
        f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


if __name__ == "__main__":
    {"stores": stores, "services": services}[sys.argv[1]]()
