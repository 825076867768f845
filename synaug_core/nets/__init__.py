"""Modules only: what a network is, not how it is trained."""
