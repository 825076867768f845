"""The work itself: images in, generators, classifiers, evidence. Importing it loads no torch."""

__version__ = "0.1.0"
