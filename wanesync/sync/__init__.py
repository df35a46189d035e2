"""The only rooms with a sequence of effects; ``apply`` is the only writer."""
