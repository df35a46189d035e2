"""One module per table: every method is one or a few named queries."""
