"""One retraining by core calls alone, without Prefect and MLflow: the bare computation that a flow is held against."""
