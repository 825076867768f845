"""The prediction service: one registered model's alias behind HTTP."""
