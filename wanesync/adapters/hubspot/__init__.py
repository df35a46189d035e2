"""HubSpot: contacts, purchases on contacts, webhooks, set-up of a portal. Begin with ``adapter``."""
