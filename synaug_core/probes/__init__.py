"""What is measured of trained classifiers beyond the comparison: a probe is one package or module, and a line in
`registry`."""
