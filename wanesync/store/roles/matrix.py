"""The matrix role x table x verb, with its rules of columns and rows: docs/security.md#database-roles.

A rule of rows stands where a table holds the rows of both lanes, or where a row may be changed in one state only. What
a role may do follows from the statements its processes run; the tests try every statement under every role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from wanesync.core.model import Side


class Role(StrEnum):
    """A part of the installation with a database login of its own; docs/security.md says which process uses which."""

    MIGRATE = "migrate"
    INTAKE = "intake"
    QUEUE = "queue"
    HUBSPOT_WORKER = "hubspot_worker"
    STRIPE_WORKER = "stripe_worker"
    ADMIN = "admin"
    READ_ONLY = "read_only"

    @property
    def side(self) -> Side | None:
        """The side whose lane it works on."""
        return {Role.HUBSPOT_WORKER: Side.HUBSPOT, Role.STRIPE_WORKER: Side.STRIPE}.get(self)


class Verb(StrEnum):
    """What a statement does to a table. Nothing else (TRUNCATE, REFERENCES, TRIGGER) is granted to any of the roles."""

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


PLAIN = ("PLAIN",)
"""All columns but those with an encrypted payload."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which columns and rows a verb may touch.

    ``columns``: () for all, names, ``PLAIN``, or names with a minus for all but these. ``rows``: a condition as SQL, ""
    for every row: of the rows that are seen or changed, of an insert of the new row. ``becomes``: what an updated row
    must be afterwards, "" for the same as ``rows``.
    """

    columns: tuple[str, ...] = ()
    rows: str = ""
    becomes: str = ""


Access = Mapping[Verb, Rule]
"""Verb -> its rule; a verb that is not in it is denied."""
ANY = Rule()


def _allow(
    select: Rule | None = ANY, insert: Rule | None = None, update: Rule | None = None, delete: Rule | None = None
) -> Access:
    rules = {Verb.SELECT: select, Verb.INSERT: insert, Verb.UPDATE: update, Verb.DELETE: delete}
    return {verb: rule for verb, rule in rules.items() if rule is not None}


def _columns(*names: str) -> Rule:
    return Rule(names)


_SEEN = _allow()
_OUTLINE = _allow(Rule(PLAIN))
Rows = Mapping[Role, Access]
_WORKERS = (Role.HUBSPOT_WORKER, Role.STRIPE_WORKER)
_DOORS = (Role.INTAKE, Role.QUEUE)


def _table(*, doors: Access | None, workers: Access | None, admin: Access) -> dict[Role, Access]:
    """Return the accesses of a table whose rules are the same for both doors, and for both workers."""
    rows = {role: doors for role in _DOORS if doors} | {role: workers for role in _WORKERS if workers}
    return {**rows, Role.ADMIN: admin, Role.READ_ONLY: _SEEN}


# -- settings: switches, pins and progress in one table

_NEVER = "'index_key'"
_PINS = "'pin_portal', 'pin_stripe_account', 'pin_stripe_mode'"
_CURSORS = {
    Role.HUBSPOT_WORKER: "'stripe_cursor_ms', 'stripe_cursor_ms_before', 'catch_up_progress_stripe'",
    Role.STRIPE_WORKER: "'hubspot_cursor_ms', 'hubspot_cursor_ms_before', 'catch_up_progress_hubspot'",
}


def _settings() -> dict[Role, Access]:
    of_doors = (
        "name IN ('restored', 'serverless_door', 'door_test_seen_hubspot', 'door_test_seen_stripe')"
        " OR starts_with(name, 'secret_trouble:')"
    )
    rows = _table(
        doors=_allow(
            insert=Rule(rows=of_doors), update=Rule(("value",), "true", of_doors), delete=Rule(rows="name = 'listed'")
        ),
        workers=None,
        admin=_allow(
            insert=Rule(rows=f"name NOT IN ({_NEVER})"),
            update=Rule(("value",), "true", f"name NOT IN ({_NEVER}, {_PINS})"),
            delete=Rule(rows="name IN ('listed', 'restored', 'portal_check_failure')"),
        ),
    )
    for role, cursors in _CURSORS.items():
        # Every row may be locked (writes on is read with a lock), not every one may be changed.
        rows[role] = _allow(
            insert=Rule(rows=f"name NOT IN ({_NEVER})"),
            update=Rule(("value",), "true", f"name NOT IN ({_NEVER}, {_PINS}, 'writes', {cursors})"),
            delete=Rule(rows="name IN ('listed', 'restored', 'portal_check_failure')"),
        )
    return rows


# -- the queue

_QUEUED = Rule(rows="state = 'ready' AND token = '' AND owner = ''")
_ENDED = Rule(rows="state = 'done'")
_JOB_IDENTITY = ("-id", "-lane", "-kind", "-key")
_OPEN_OR_DEAD = "state IN ('ready', 'dead')"
_STAYS_QUEUED = "state = 'ready' OR (state = 'done' AND superseded = 1)"


def _jobs() -> dict[Role, Access]:
    queued = (
        "priority",
        "arrived_ms",
        "due_ms",
        "is_far",
        "attempts",
        "turns",
        "run_id",
        "state",
        "superseded",
        "ended_ms",
    )
    rows = _table(
        doors=_allow(insert=_QUEUED, update=Rule(queued, _OPEN_OR_DEAD, _STAYS_QUEUED)),
        workers=None,
        # What an operator retries or makes due; no job is claimed.
        admin=_allow(
            insert=_QUEUED, update=Rule(_JOB_IDENTITY, _OPEN_OR_DEAD, "state IN ('ready', 'done')"), delete=_ENDED
        ),
    )
    for role in _WORKERS:
        own = f"lane = '{role.side}'"
        # On the other lane a worker queues, and makes due what waits: it neither claims nor ends.
        update = Rule(_JOB_IDENTITY, f"{own} OR {_OPEN_OR_DEAD}", f"{own} OR {_STAYS_QUEUED}")
        rows[role] = _allow(insert=_QUEUED, update=update, delete=_ENDED)
    return rows


def _processes() -> dict[Role, Access]:
    beat = ("lanes", "heartbeat_ms", "map_generation", "key_ids")

    rows = _table(doors=None, workers=None, admin=_allow(delete=ANY))
    # The queue process beats for the handlers, too, which have no database.
    for role, own in ((Role.INTAKE, "lanes = 'web'"), (Role.QUEUE, "lanes IN ('queue', 'web')")):
        rows[role] = _allow(insert=Rule(rows=own), update=Rule(beat, own), delete=Rule(rows=own))
    for role in _WORKERS:
        # A worker removes the rows of dead processes, and of those with an earlier field map.
        own = f"lanes = '{role.side}'"
        rows[role] = _allow(insert=Rule(rows=own), update=Rule(beat, own), delete=ANY)
    return rows


def _pending_writes() -> dict[Role, Access]:
    answered = "result <> ''"
    rows = _table(
        doors=_OUTLINE,
        workers=None,
        admin=_allow(update=Rule(("data", "target_id"), "true"), delete=Rule(rows=answered)),
    )
    for role in _WORKERS:
        own = f"side = '{role.side}'"
        # Of the other side: what is answered, which the erasure of a person empties, and a creation whose record this
        # lane has found.
        update = Rule(("-id", "-side", "-kind", "-created_ms"), f"{own} OR {answered} OR kind = 'create'")
        rows[role] = _allow(insert=Rule(rows=own), update=update, delete=Rule(rows=answered))
    return rows


# -- limits and pauses, by side


def _by_side(column: str, admin: Access, update: tuple[str, ...], more: str = "") -> dict[Role, Access]:
    """Return the accesses of a table whose rows are named ``side`` or ``side:…`` in a column."""
    rows = _table(doors=_SEEN, workers=None, admin=admin)
    for role in _WORKERS:
        own = f"({column} = '{role.side}' OR {column} LIKE '{role.side}:%'){more}"
        rows[role] = _allow(insert=Rule(rows=own), update=Rule(update, own), delete=Rule(rows=own))
    return rows


_FIGURES = _columns("-name", "-span_ms", "-start_ms", "-labels")
_WHOLE = _allow(insert=ANY, update=ANY, delete=ANY)
_DELIVERED = _columns("state", "attempts", "due_ms", "error", "ended_ms", "token", "lease_ms")

MATRIX: Mapping[str, Rows] = {
    "migrations": _table(doors=_SEEN, workers=_SEEN, admin=_SEEN),
    "settings": _settings(),
    "records": _table(
        doors=_allow(Rule(PLAIN), update=_columns("stale", "revision")),
        workers=_allow(insert=ANY, update=_columns("-side", "-id")),
        admin=_allow(insert=ANY, update=_columns("-side", "-id")),
    ),
    "emails": _table(doors=None, workers=_allow(insert=ANY, delete=ANY), admin=_allow(insert=ANY, delete=ANY)),
    "links": _table(
        doors=_OUTLINE,
        workers=_allow(insert=ANY, update=_columns("-id", "-created_ms")),
        admin=_allow(insert=ANY, update=_columns("-id", "-created_ms")),
    ),
    "events": _table(
        doors=_allow(Rule(PLAIN), insert=ANY),
        workers=_allow(
            insert=ANY,
            update=_columns("is_read", "is_judged", "data", "emptied"),
            delete=Rule(rows="is_read = 1 AND is_judged = 1"),
        ),
        admin=_allow(
            insert=ANY,
            update=_columns("is_read", "is_judged", "data", "emptied"),
            delete=Rule(rows="is_read = 1 AND is_judged = 1"),
        ),
    ),
    "rejected": _table(
        doors=_allow(Rule(PLAIN), insert=ANY),
        workers=_allow(insert=ANY, delete=ANY),
        admin=_allow(insert=ANY, delete=ANY),
    ),
    "webhook_counts": _table(
        doors=_allow(insert=ANY, update=_columns("requests", "last_ms")),
        workers=_allow(insert=ANY, update=_columns("requests", "last_ms"), delete=ANY),
        admin=_allow(insert=ANY, update=_columns("requests", "last_ms"), delete=ANY),
    ),
    "source_counts": _table(doors=_allow(insert=ANY), workers=_allow(delete=ANY), admin=_allow(delete=ANY)),
    "jobs": _jobs(),
    "processes": _processes(),
    "locks": _table(
        doors=None,
        workers=_allow(insert=ANY, update=_columns("-key"), delete=ANY),
        admin=_allow(insert=ANY, update=_columns("-key"), delete=ANY),
    ),
    "pending_writes": _pending_writes(),
    "open_creates": _table(
        doors=None, workers=_allow(insert=ANY, update=_columns("write_id"), delete=ANY), admin=_SEEN
    ),
    "purchases": {
        **_table(
            doors=_allow(Rule(PLAIN), insert=ANY),
            workers=None,
            admin=_allow(insert=ANY, update=_columns("contact_id", "data")),
        ),
        Role.HUBSPOT_WORKER: _allow(
            insert=ANY, update=_columns("contact_id", "state", "waits_for", "reason", "sink", "data")
        ),
        # Purchases are sent on HubSpot's lane: this one finds them, and moves those of a merged contact.
        Role.STRIPE_WORKER: _allow(insert=ANY, update=_columns("contact_id", "data")),
    },
    "conflicts": _table(
        doors=_OUTLINE,
        workers=_allow(insert=ANY, update=_columns("closed_ms"), delete=ANY),
        admin=_allow(insert=ANY, update=_columns("closed_ms"), delete=ANY),
    ),
    "tombstones": _table(
        doors=None,
        workers=_allow(insert=ANY, update=_columns("at_ms", "erased"), delete=ANY),
        admin=_allow(insert=ANY, update=_columns("at_ms", "erased"), delete=ANY),
    ),
    "journal": _table(
        doors=_allow(select=None, insert=ANY),
        workers=_allow(insert=ANY, update=_columns("data"), delete=ANY),
        admin=_allow(insert=ANY, update=_columns("data"), delete=ANY),
    ),
    "pauses": _by_side("name", _WHOLE, ("reason", "away", "probe_ms", "since_ms")),
    "failed_batches": _table(
        doors=_SEEN,
        workers=_allow(insert=ANY, update=_columns("-place", "-process"), delete=ANY),
        admin=_SEEN,
    ),
    "rates": _by_side("scope", _WHOLE, ("-scope",)),
    "quota_uses": _by_side("scope", _WHOLE, ("used", "bulk")),
    "holds": _table(
        doors=_SEEN,
        # To lock a hold takes a right to change it: a worker has that on the least of its columns.
        workers=_allow(insert=ANY, update=_columns("since_ms")),
        admin=_allow(insert=ANY, update=_columns("state", "closed_ms", "since_ms")),
    ),
    "held_fields": _table(
        doors=_OUTLINE,
        workers=_allow(insert=ANY, update=_columns("-link_id", "-field"), delete=ANY),
        admin=_allow(insert=ANY, update=_columns("-link_id", "-field"), delete=ANY),
    ),
    # Every process that runs on evaluates alerts and sends notices (docs/alerts.md#who-evaluates); operators silence.
    **dict.fromkeys(
        ("alert_states", "alert_reports"),
        _table(doors=_WHOLE, workers=_WHOLE, admin=_WHOLE),
    ),
    "alert_history": _table(
        doors=_allow(insert=ANY), workers=_allow(insert=ANY, delete=ANY), admin=_allow(insert=ANY, delete=ANY)
    ),
    "alert_deliveries": _table(
        doors=_allow(insert=ANY, update=_DELIVERED),
        workers=_allow(insert=ANY, update=_DELIVERED, delete=ANY),
        admin=_allow(insert=ANY, update=_DELIVERED, delete=ANY),
    ),
    "alert_silences": _table(
        doors=_SEEN, workers=_allow(delete=ANY), admin=_allow(insert=ANY, update=_columns("until_ms"), delete=ANY)
    ),
    "alert_claim": _table(
        doors=_allow(update=_columns("-id")),
        workers=_allow(update=_columns("-id")),
        admin=_allow(update=_columns("-id")),
    ),
    "overwrites": _table(
        doors=None,
        workers=_allow(insert=ANY, update=_columns("at_ms"), delete=ANY),
        admin=_allow(insert=ANY, update=_columns("at_ms"), delete=ANY),
    ),
    "overwrite_sources": _table(
        doors=None,
        workers=_allow(insert=ANY, update=_columns("counted_ms"), delete=ANY),
        admin=_allow(insert=ANY, update=_columns("counted_ms"), delete=ANY),
    ),
    # Only the admin service and its commands: no other process signs users in.
    "admin_users": {Role.ADMIN: _allow(insert=ANY, update=_columns("-name", "-created_ms"), delete=ANY)},
    "admin_sessions": {Role.ADMIN: _allow(insert=ANY, update=_columns("seen_ms", "proved_ms"), delete=ANY)},
    "admin_tokens": {Role.ADMIN: _allow(insert=ANY, update=_columns("used_ms"), delete=ANY)},
    "admin_links": {Role.ADMIN: _allow(insert=ANY, delete=ANY)},
    "admin_guesses": {Role.ADMIN: _allow(insert=ANY, update=_columns("guesses"), delete=ANY)},
    # Rows are appended and never changed, by any role; the head moves with each.
    "audit_log": _table(doors=None, workers=_allow(insert=ANY), admin=_allow(insert=ANY)),
    "audit_head": _table(
        doors=None, workers=_allow(update=_columns("seq", "hash")), admin=_allow(update=_columns("seq", "hash"))
    ),
    "reconcile_runs": _table(
        doors=None, workers=_allow(delete=Rule(rows="active = 0")), admin=_allow(insert=ANY, update=ANY, delete=ANY)
    ),
    "reconcile_items": _table(
        doors=None, workers=_allow(delete=ANY), admin=_allow(insert=ANY, update=_columns("data"), delete=ANY)
    ),
    "log_lines": _table(
        doors=_allow(select=None, insert=ANY),
        workers=_allow(insert=ANY, delete=ANY),
        admin=_allow(insert=ANY, update=_columns("data"), delete=ANY),
    ),
    "job_traces": _table(
        doors=_allow(insert=ANY, update=_columns("context", "at_ms")),
        workers=_allow(insert=ANY, update=_columns("context", "at_ms"), delete=ANY),
        admin=_allow(insert=ANY, update=_columns("context", "at_ms"), delete=ANY),
    ),
    # Every part adds to the same rows; a worker and an operator remove old ones.
    "figures": _table(
        doors=_allow(insert=ANY, update=_FIGURES),
        workers=_allow(insert=ANY, update=_FIGURES, delete=ANY),
        admin=_allow(insert=ANY, update=_FIGURES, delete=ANY),
    ),
    # By the process that evaluates alerts, which any part may be.
    "samples": _table(
        doors=_allow(insert=ANY, update=_columns("value")),
        workers=_allow(insert=ANY, update=_columns("value"), delete=ANY),
        admin=_allow(insert=ANY, update=_columns("value"), delete=ANY),
    ),
    # Workers only delete what is old.
    "api_answers": _table(
        doors=None,
        workers=_allow(delete=ANY),
        admin=_allow(insert=ANY, update=_columns("began_ms", "status", "answer"), delete=ANY),
    ),
    "job_attempts": _table(doors=None, workers=_allow(insert=ANY, delete=ANY), admin=_allow(delete=ANY)),
    # Operators' runs: a worker only removes what is too old.
    "bulk_runs": _table(
        doors=None, workers=_allow(delete=ANY), admin=_allow(insert=ANY, update=_columns("-id", "-action"), delete=ANY)
    ),
    "bulk_run_jobs": _table(doors=None, workers=_allow(delete=ANY), admin=_allow(insert=ANY, delete=ANY)),
}
"""Table -> role -> what it may do. ``migrate`` owns every table and is not in it."""

_NOTIFIES = (Role.INTAKE, Role.QUEUE, *_WORKERS, Role.ADMIN)
FUNCTIONS: Mapping[str, tuple[Role, ...]] = {
    "pg_notify(text, text)": _NOTIFIES,
    "pg_try_advisory_xact_lock(bigint)": (*_WORKERS, Role.ADMIN),
    "pg_advisory_lock(bigint)": (),
    "pg_advisory_lock(integer, integer)": (),
    "pg_advisory_lock_shared(bigint)": (),
    "pg_advisory_lock_shared(integer, integer)": (),
    "pg_advisory_xact_lock(bigint)": (),
    "pg_advisory_xact_lock(integer, integer)": (),
    "pg_advisory_xact_lock_shared(bigint)": (),
    "pg_advisory_xact_lock_shared(integer, integer)": (),
    "pg_try_advisory_lock(bigint)": (),
    "pg_try_advisory_lock(integer, integer)": (),
    "pg_try_advisory_lock_shared(bigint)": (),
    "pg_try_advisory_lock_shared(integer, integer)": (),
    "pg_try_advisory_xact_lock(integer, integer)": (),
    "pg_try_advisory_xact_lock_shared(bigint)": (),
    "pg_try_advisory_xact_lock_shared(integer, integer)": (),
    "lo_creat(integer)": (),
    "lo_create(oid)": (),
    "lo_from_bytea(oid, bytea)": (),
    "lo_open(oid, integer)": (),
    "lo_put(oid, bigint, bytea)": (),
    "lowrite(integer, bytea)": (),
}
"""Functions with an effect that every login may call by default -> the roles that may go on calling them.

Locks that others wait for, messages to other sessions, and large objects, which would fill the disk.
"""


def find_access(role: Role, table: str) -> Access:
    """Return what a role may do to a table; ``migrate``, as its owner, everything."""
    return dict.fromkeys(Verb, ANY) if role is Role.MIGRATE else MATRIX[table].get(role, {})


def has_row_rules(table: str) -> bool:
    """Return whether a rule of rows stands on a table, for any role."""
    return any(rule.rows or rule.becomes for access in MATRIX[table].values() for rule in access.values())
