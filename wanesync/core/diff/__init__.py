"""Differences between the two sides: what a comparison shows, an operator decides and a plan file holds.

Begin with ``difference``.
"""
