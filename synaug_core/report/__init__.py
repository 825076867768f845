"""Figures, sheets of images and pages that people read."""
