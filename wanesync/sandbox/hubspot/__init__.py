"""The stand-in HubSpot: contacts, properties, search, custom events, notes and webhooks."""
