"""Doors for machines and browsers."""
