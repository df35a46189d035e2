"""The SQLite file of one comparison."""
