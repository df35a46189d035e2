"""The stand-in HubSpot: contacts, properties, search, custom events, notes and webhooks of one portal.

Begin with ``machine``, which answers requests; ``portal`` holds the state and the only functions that change contacts.
"""
