"""Our errors for those of Postgres."""

from __future__ import annotations

import psycopg
from psycopg import errors

from wanesync.core.errors import DatabaseUnavailable
from wanesync.store.session import ConstraintViolated, TransactionConflict

_COLLISIONS = (errors.SerializationFailure, errors.DeadlockDetected)


def translate(error: psycopg.Error, label: str) -> Exception:
    """Our error for one of Postgres's, without the statement and its values; a mistake of ours stays as it is."""
    if isinstance(error, _COLLISIONS):
        return TransactionConflict(f"two transactions on the database {label} got into each other's way; try again")
    if isinstance(error, errors.IdleInTransactionSessionTimeout):
        return TransactionConflict(
            f"a transaction on the database {label} stood still for too long and was rolled back; try again"
        )
    if isinstance(error, errors.IntegrityError):
        return ConstraintViolated(error.diag.constraint_name or error.diag.table_name or "of the schema")
    if isinstance(error, errors.InsufficientPrivilege):
        return DatabaseUnavailable(
            f"the database {label} refused its user something: grant it what `wanesync db migrate` made"
        )
    if isinstance(error, errors.InterfaceError | errors.OperationalError):
        code = f" ({error.sqlstate})" if error.sqlstate else ""
        return DatabaseUnavailable(f"the database {label} cannot be reached or is busy{code}; is it running?")
    return error
