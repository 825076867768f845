"""Registered models: versions, champions and how they came to be, the model that MLflow serves."""
