"""Benches: the program as real processes beside the sandbox, measured from outside."""
