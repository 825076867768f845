#!/bin/sh
# MLflow: runs and models in PostgreSQL, artifacts in S3 through this server, nobody in without a password.
set -eu
. "$(dirname "$0")/lib.sh"
for name in PGPASSWORD AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY MLFLOW_AUTH_ADMIN_PASSWORD \
    MLFLOW_FLASK_SERVER_SECRET_KEY; do
    secret $name
    needed $name
done
needed SYNAUG_PG SYNAUG_BUCKET

# The driver takes the password from PGPASSWORD.
database="postgresql+psycopg://mlflow@$SYNAUG_PG"
export MLFLOW_AUTH_CONFIG_PATH="${TMPDIR:-/tmp}/mlflow-auth-$$.ini"
cat >"$MLFLOW_AUTH_CONFIG_PATH" <<INI
[mlflow]
default_permission = EDIT
database_uri = $database/mlflow_auth
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
INI
export MLFLOW_BACKEND_STORE_URI="$database/mlflow" MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false
exec mlflow server --app-name basic-auth --host "${SYNAUG_HOST:-127.0.0.1}" --port "${SYNAUG_PORT:-5000}" \
    --workers "${SYNAUG_WORKERS:-2}" --serve-artifacts --artifacts-destination "s3://$SYNAUG_BUCKET/mlflow"
