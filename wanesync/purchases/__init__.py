"""Payments from Stripe onto HubSpot contacts, once each. Begin with ``sender``; ``recipients`` finds the contact."""
