"""wanesync: HubSpot contacts and Stripe customers, kept the same both ways."""
