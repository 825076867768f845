#!/bin/sh
# make_env.sh ENV LOCK [--project]: makes or updates the virtual environment ENV to hold exactly what LOCK names.
#
# Everything is pinned by version and hash, uv itself included (requirements-uv.lock). Package indexes and
# certificates are the user's own: uv's configuration, or else what pip is configured with. None is named here.
set -eu
cd "$(dirname "$0")/.."
env=$1 lock=$2 project=${3:-}

fail() { echo "setup: $*" >&2; exit 1; }
recent() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; }

# 1. A Python. PYTHON=... on make's command line has the first word.
python=
for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}; do
    if recent "$candidate"; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed, found none as ${PYTHON:-python3.11 or python3};" \
    "install it (Debian: apt install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# 2. The environment. One that was copied from elsewhere, or whose Python is gone or too old, is made anew.
place=$(cat "$env/.place" 2>/dev/null || echo "$PWD")
if [ -e "$env" ] && { [ "$place" != "$PWD" ] || ! recent "$env/bin/python"; }; then
    echo "setup: making $env anew"
    rm -rf "$env"
fi
if [ ! -x "$env/bin/uv" ]; then
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python cannot make virtual environments;" \
        "Debian and Ubuntu keep that in a package of its own: apt install python$version-venv"
    "$python" -m venv "$env"
    "$env/bin/python" -m pip -qq install --no-input --require-hashes -r requirements-uv.lock
fi
echo "$PWD" >"$env/.place"

# 3. Where only pip is configured, uv uses the same index and certificates.
pip_setting() { "$env/bin/python" -m pip config list 2>/dev/null | sed -n "s/^[^ ]*\.$1='\(.*\)'\$/\1/p" | tail -n 1; }
uv_is_configured() {
    [ -n "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}${UV_INDEX:-}${UV_CONFIG_FILE:-}" ] ||
        [ -e "${XDG_CONFIG_HOME:-${HOME:-}/.config}/uv/uv.toml" ] || [ -e /etc/uv/uv.toml ]
}
if ! uv_is_configured; then
    index=$(pip_setting index-url)
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
fi
if [ -z "${SSL_CERT_FILE:-}" ]; then
    certificates=$(pip_setting cert)
    [ -z "$certificates" ] || export SSL_CERT_FILE="$certificates"
fi

# 4. The packages, compiled once and for all: where PYTHONDONTWRITEBYTECODE is set, or the environment is read-only,
# every process would compile what it imports, for seconds. The longer timeout is for the few packages that weigh
# hundreds of megabytes.
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-300}" UV_COMPILE_BYTECODE=1 VIRTUAL_ENV="$PWD/$env"
echo "setup: installing what $lock names into $env (Python $version)"
"$env/bin/uv" pip sync --quiet --require-hashes --build-constraints "$lock" "$lock"
if [ -n "$project" ]; then # its build backend is in the lock, so nothing unpinned is fetched to build it
    "$env/bin/uv" pip install --quiet --no-deps --no-build-isolation --editable .
    "$env/bin/python" -m compileall -q synaug_core synaug tasks flows deployments
fi
