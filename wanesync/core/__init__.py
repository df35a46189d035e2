"""The pure core: values in, values out. Standard library only; ``now`` is always an argument."""
