"""Rate slots and quotas that all processes share."""
