"""Request limits: what is configured, in effect and used, and how an operator changes them while everything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wanesync.core.errors import ConfigError, ConfirmationNeeded
from wanesync.core.model import Side
from wanesync.core.operating.operators import SYSTEM, Operator
from wanesync.core.rate_limits import (
    VENDOR_ALLOWANCES,
    Limit,
    find_excess,
    format_value,
    parse_value,
    set_by_hand,
)
from wanesync.ratelimit.limit_settings import LimitState, read_limits
from wanesync.ratelimit.quotas import find_alarms
from wanesync.store.database import Store, Tx


@dataclass(frozen=True, slots=True)
class LimitList:
    """Every limit, and a line for each quota that is used up."""

    states: Sequence[LimitState]
    alarms: Sequence[str]


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit after an operator set it. ``new``: it is not what it was. ``warning``: why it may be too much, or ""."""

    limit: Limit
    new: bool
    warning: str = ""


def list_limits(store: Store) -> LimitList:
    """Read every limit with its use, in the order of their scopes."""
    with store.reading() as tx:
        return LimitList(read_limits(tx), [alarm.text for alarm in find_alarms(tx)])


def check_scope(scope: str) -> None:
    """Raise ConfigError for a scope that does not exist; it needs no database."""
    if scope not in VENDOR_ALLOWANCES:
        raise ConfigError([f"{scope} is no limit: one of {', '.join(VENDOR_ALLOWANCES)}"])


def read_value(scope: str, text: str) -> float:
    """Read the value of a limit as an operator writes it; raise ConfigError with what is allowed. No database."""
    try:
        return parse_value(scope, text)
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def change_limit(store: Store, scope: str, text: str, operator: Operator, *, force: bool) -> LimitChange:
    """Set a limit to a value as an operator writes it (``12/s``, ``50%``, ``10000``), at once in every process.

    Raises ConfigError for an unknown scope and for a value that is none; unless ``force`` is given, ConfirmationNeeded
    for more than the platform is known to allow.
    """
    value = read_value(scope, text)
    with store.reading() as tx:
        known = tx.rates.all().get(scope)
    excess, reported = find_excess(scope, value, known), known is not None and _is_reported(known)
    if excess and not force:
        shown = format_value(scope, value)
        advice = "if your account has more, add --force"
        if reported:
            advice = f"that rises as soon as they allow more, and --force keeps {shown} for then"
        raise ConfirmationNeeded(f"{scope}: {shown} is too much: {excess}", advice)
    limit, new = store.run(lambda tx: _set_unless_same(tx, scope, value, operator))
    return LimitChange(limit, new, "" if reported else excess)


def _set_unless_same(tx: Tx, scope: str, value: float, operator: Operator) -> tuple[Limit, bool]:
    """Set a limit, and whether that was a change: what changes nothing is not written to the journal."""
    known = tx.rates.lock(scope)
    if known is not None:
        wanted = set_by_hand(known, scope, value)
        if (known.configured, known.effective) == (wanted.configured, wanted.effective):
            return known, False
    return set_limit(tx, scope, value, operator), True


def set_limit(tx: Tx, scope: str, value: float, operator: Operator = SYSTEM) -> Limit:
    """Set a limit, which every process follows from its next reservation on; into the journal and the audit log."""
    before = tx.rates.lock(scope)
    after = tx.rates.set_limit(scope, value)
    _record_setting(tx, scope, before, after, operator)
    return after


def reset_limit(store: Store, scope: str, operator: Operator) -> Limit | None:
    """Return to the value of the configuration file; None where it has none, and the scope no limit of its own.

    Raises ConfigError for a scope that does not exist.
    """
    check_scope(scope)
    return store.run(lambda tx: _reset(tx, scope, operator))


def _reset(tx: Tx, scope: str, operator: Operator) -> Limit | None:
    before = tx.rates.lock(scope)
    if before is None:
        return None
    if not before.filed:
        tx.rates.drop(scope)
        _record_setting(tx, scope, before, None, operator)
        return None
    after = tx.rates.set_limit(scope, before.filed)
    _record_setting(tx, scope, before, after, operator)
    return after


def explain_limit(limit: Limit) -> str:
    """Say why less is in effect than was configured; "" where it is not less."""
    if limit.reason or limit.effective >= limit.configured or not _is_reported(limit):
        return limit.reason
    # Where the platform's answer is older than the setting, no reason was stored with it.
    allowed = format_value(limit.scope, limit.ceiling)
    return f"HubSpot's answers allow this app {allowed}; it rises as soon as they allow more"


def _is_reported(limit: Limit) -> bool:
    """Whether the platform reports what it allows: a setting of ours does not change that."""
    return bool(limit.ceiling) and not limit.is_operation


def _record_setting(tx: Tx, scope: str, before: Limit | None, after: Limit | None, operator: Operator) -> None:
    """Write a change to the journal and the audit log: who, from and to."""
    if before and after and (before.configured, before.effective) == (after.configured, after.effective):
        return
    values = {"from": before.configured if before else None, "to": after.configured if after else None}
    data = {"scope": scope, **values, "reason": "set by an operator"}
    tx.journal.add("limit set", Side(scope.partition(":")[0]), "", "", data, operator=operator)
    tx.audit.add(operator, "limit.set" if after else "limit.drop", scope, _as_state(before), _as_state(after))


def _as_state(limit: Limit | None) -> dict[str, object] | None:
    return {"configured": limit.configured, "effective": limit.effective} if limit else None
