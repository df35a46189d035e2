"""The stand-in Stripe: customers, payments, events and webhooks of one account, with idempotency keys and rate limits.

Begin with ``machine``, which answers requests; ``operations`` is the table of endpoints, ``account`` holds the state.
"""
