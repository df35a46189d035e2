"""Secrets managers: what a reference such as ``aws-sm:NAME@VERSION#FIELD`` names, read through the official client.

Begin with ``reader.py``; one module per manager. A client is imported when the first reference needs it.
"""
