"""Alerts: evaluation, delivery, and what an operator does about them."""
