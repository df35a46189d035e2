"""Postgres roles: what each process may do to each table. Begin with ``matrix``; ``statements`` turns it into SQL."""
