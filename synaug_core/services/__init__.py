"""Settings, tracking, artifacts, registered models, serving: the only package that knows MLflow, and the
environment.

Modules: `settings` (places and addresses), `tracking` (runs and what they record), `artifacts` (files by digest),
`registry` (registered models), `serving` (the model that `mlflow models serve` takes), `versions` (what a result was
made with).
"""
