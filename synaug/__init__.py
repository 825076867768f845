"""The public package: the command below `cli`, and what `import synaug` offers."""
