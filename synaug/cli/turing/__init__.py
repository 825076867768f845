"""The visual Turing test as a local web page: what it shows, what it takes, where its result goes."""
