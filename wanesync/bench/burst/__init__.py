"""``bench burst``: the load, its results and their plot. Begin with ``run``."""
