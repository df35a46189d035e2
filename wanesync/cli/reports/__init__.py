"""Differences as tables, CSV, HTML and JSON."""
