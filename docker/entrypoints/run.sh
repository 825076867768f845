#!/bin/sh
# The image's entrypoint: any command, with the secrets in its environment.
set -eu
. "$(dirname "$0")/client.sh"
exec "$@"
