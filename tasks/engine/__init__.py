"""What every step needs: its key, its run, its progress, its device, its stored things and its result."""
