"""The command `synaug`. Nothing here computes: commands call flows, services and the configuration loader."""
