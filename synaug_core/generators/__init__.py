"""Generators: fitted on images of some classes, they make new ones."""
