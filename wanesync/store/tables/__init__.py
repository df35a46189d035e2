"""One module per table, or per few tables that change together; a method is one or a few named queries.

Begin with ``jobs.py``, ``records.py`` and ``pending_writes.py``. A ``store.Tx`` has each table by its name.
"""
