"""Formats of image files beyond those that Pillow reads."""
