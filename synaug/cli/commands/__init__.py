"""One file for each command. Modules import nothing heavy before a command runs, so that help comes at once."""
