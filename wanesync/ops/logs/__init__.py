"""Log lines in the database: stored, searched, exported."""
