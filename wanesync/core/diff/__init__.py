"""Differences as values: what a comparison shows, a person decides, a plan file holds."""
