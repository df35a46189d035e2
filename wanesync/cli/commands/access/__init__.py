"""Users, tokens and the audit log of the admin service."""
