#!/bin/sh
# A worker: takes runs from the pool, or from one of its queues, and starts a process for each.
set -eu
. "$(dirname "$0")/client.sh"
needed PREFECT_API_URL MLFLOW_TRACKING_URI
exec prefect worker start --pool "${SYNAUG_POOL:-synaug}" --type process --limit "${SYNAUG_LIMIT:-1}" \
    ${SYNAUG_QUEUE:+--work-queue "$SYNAUG_QUEUE"} --with-healthcheck
