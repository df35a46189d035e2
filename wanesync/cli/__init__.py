"""Doors for people: parse, call, print, exit code. No logic."""
