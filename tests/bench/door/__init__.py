"""The door beside a peer: signed Stripe webhooks into Postgres through ``wanesync serve`` and through sync-engine."""
