"""Runs of reconcile that operators start, watch, approve and apply."""
