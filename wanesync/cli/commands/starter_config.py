"""The configuration ``wanesync init`` writes where there is none."""

from __future__ import annotations

STARTER = """\
# wanesync: what must be said; config.example.toml in the source has every key with its meaning.
# "env:NAME" reads an environment variable, "file:PATH" a file that only you can read.

# "sqlite:FILE" on one machine, FILE seen from this file's folder; "postgresql://user@host/name" for several.
database = "sqlite:wanesync.db"

[hubspot]
access_token = "env:HUBSPOT_ACCESS_TOKEN"
# The app's client secret: it signs HubSpot's webhooks.
webhook_secret = "env:HUBSPOT_WEBHOOK_SECRET"

[stripe]
api_key = "env:STRIPE_API_KEY"
# The webhook endpoint's signing secret, whsec_...
webhook_secret = "env:STRIPE_WEBHOOK_SECRET"

[server]
host = "127.0.0.1"
port = 8787
# How HubSpot and Stripe reach this machine, as you gave it to them (without /webhooks/...).
public_url = "https://sync.example.com"

[create]
# People who are missing on a side: "all" are created there, or "none". Both must be answered.
# customers = "all"
# contacts = "all"
"""
