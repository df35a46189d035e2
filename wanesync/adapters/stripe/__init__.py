"""Stripe over its official SDK."""
