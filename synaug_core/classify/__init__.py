"""Classifiers: networks, one training loop, the search for hyper-parameters."""
