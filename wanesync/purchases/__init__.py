"""Stripe purchases onto HubSpot contacts, once each."""
