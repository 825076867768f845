"""One step each: load by reference, call the core, store, return a reference."""
