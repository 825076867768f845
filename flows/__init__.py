"""Which steps, in which order, what may run side by side. Never torch, MLflow or Optuna."""
