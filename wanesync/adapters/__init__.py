"""The adapters of the two vendors over their official SDKs: they translate, and never decide.

Each vendor's folder holds its API (``adapter``), its records in neutral form, its webhooks and its table of errors; the
modules here are shared by both. ``core.ports`` says what they provide.
"""
