"""Synthetic images: how many of each class, and made how."""
