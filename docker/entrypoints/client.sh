# Read by scripts that use the servers: their credentials, and where results and trials go.
. "$(dirname "$0")/lib.sh"
for name in PGPASSWORD AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY MLFLOW_TRACKING_PASSWORD PREFECT_API_AUTH_STRING; do
    secret $name
done
if [ -n "${SYNAUG_PG:-}" ]; then
    # The driver takes the password from PGPASSWORD.
    export SYNAUG_TUNING_STORAGE="${SYNAUG_TUNING_STORAGE:-postgresql+psycopg://tuning@$SYNAUG_PG/tuning}"
fi
