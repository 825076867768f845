#!/bin/sh
# setup.sh stores: databases, their roles, and the bucket. setup.sh services: MLflow's user for workers, the work pool,
# and where Prefect's results go. Both may be run again at any time.
set -eu
. "$(dirname "$0")/client.sh"
for name in MLFLOW_DB_PASSWORD PREFECT_DB_PASSWORD TUNING_DB_PASSWORD MLFLOW_AUTH_ADMIN_PASSWORD; do
    secret $name
done
case ${1:-} in
    stores) needed SYNAUG_PG PGPASSWORD MLFLOW_DB_PASSWORD PREFECT_DB_PASSWORD TUNING_DB_PASSWORD SYNAUG_BUCKET ;;
    services) needed MLFLOW_TRACKING_URI MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_TRACKING_PASSWORD PREFECT_API_URL \
        SYNAUG_BUCKET ;;
    *) echo "setup.sh: stores or services" >&2; exit 2 ;;
esac
exec python "$(dirname "$0")/setup.py" "$1"
