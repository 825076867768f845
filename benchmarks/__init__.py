"""Speed, side by side with peers in one run. Ratios are what counts: absolute times belong to one machine."""
