"""MLflow: its clients, experiments, runs, artifacts and links. One of two packages that import the library."""
