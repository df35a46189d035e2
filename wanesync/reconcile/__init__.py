"""Bulk comparison: list both sides, compare, then show, save or queue."""
