"""HubSpot over its official SDK."""
