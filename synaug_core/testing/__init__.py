"""Checks that every implementation of a concept has to pass, ours and those of others."""
