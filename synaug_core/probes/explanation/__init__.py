"""Where a classifier looks, and how much of that changes from arm to arm."""
