#!/bin/sh
# Prefect's server with its scheduler and automations, on PostgreSQL, nobody in without a password.
set -eu
. "$(dirname "$0")/lib.sh"
for name in PGPASSWORD PREFECT_SERVER_API_AUTH_STRING; do
    secret $name
    needed $name
done
needed SYNAUG_PG

# The driver takes the password from PGPASSWORD.
export PREFECT_SERVER_DATABASE_CONNECTION_URL="postgresql+asyncpg://prefect@$SYNAUG_PG/prefect"
# The server's own services speak to it as any client does.
export PREFECT_API_AUTH_STRING="$PREFECT_SERVER_API_AUTH_STRING"
# Who holds a limit's slot is kept in PREFECT_HOME: with Prefect's default, in memory, a restart of this server would
# end every run that holds one as soon as it next asks to keep it.
export PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem
# The package's folder, Prefect's default for its pages, is not ours to write.
export PREFECT_UI_STATIC_DIRECTORY="${TMPDIR:-/tmp}/prefect-pages"
exec prefect server start --host "${SYNAUG_HOST:-127.0.0.1}" --port "${SYNAUG_PORT:-4200}"
