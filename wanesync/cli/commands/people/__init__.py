"""People: search, explain, history, conflicts, links."""
