"""Stripe: customers, events and their webhooks. Begin with ``adapter``."""
