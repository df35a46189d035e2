"""The commands of a set-up: ``init``, ``doctor`` and ``webhooks``."""
