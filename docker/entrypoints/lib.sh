# Read by the other scripts. No secret is an argument of a process, or part of an address.

# secret NAME: set NAME to what the file NAME_FILE holds, unless NAME is set already.
secret() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -z "$value" ] && [ -n "$file" ]; then
        [ -r "$file" ] || { echo "$1_FILE: $file cannot be read" >&2; exit 1; }
        value=$(cat "$file")
    fi
    [ -z "$value" ] || export "$1=$value"
    unset value file
}

# needed NAME...: end with one clear line where one of them is not set.
needed() {
    for name in "$@"; do
        eval "[ -n \"\${$name:-}\" ]" || { echo "$0: $name (or ${name}_FILE) has to be set" >&2; exit 1; }
    done
}

# Telemetry stays off, and Prefect keeps nothing as a pickle.
export DO_NOT_TRACK=true MLFLOW_DISABLE_TELEMETRY=true PREFECT_SERVER_ANALYTICS_ENABLED=false
export PREFECT_RESULTS_DEFAULT_SERIALIZER=json GIT_PYTHON_REFRESH=quiet
