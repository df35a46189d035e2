"""The stand-in Stripe."""
