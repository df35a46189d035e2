"""Stripe Billing in its simplest form: products and prices, discounts, invoices, credit notes, subscriptions, clocks.

Nothing renews by itself, and proration, usage and tiers are not modelled. Begin with ``invoices``.
"""
