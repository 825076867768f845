"""Is an image set any good? Distances, variety, copying, labels and usefulness, with few images a class."""
