"""Images in: read, checked, split, sampled."""
