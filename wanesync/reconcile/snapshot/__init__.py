"""The SQLite file of one comparison: what both sides listed, how far the listing came, and what the comparison found.

Begin with ``file.Snapshot``; its tables are in ``snapshot.sql``.
"""
