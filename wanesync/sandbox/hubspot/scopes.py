"""The scopes of a token, and the scope each operation needs (the security of HubSpot's published specifications).

A token without an entry has every scope; ``Grants.grant`` gives one a list of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wanesync.sandbox.hubspot.answers import Refusal

READ, WRITE = "crm.objects.contacts.read", "crm.objects.contacts.write"
READ_SCHEMA, WRITE_SCHEMA = "crm.schemas.contacts.read", "crm.schemas.contacts.write"
DEFINE_EVENT = "behavioral_events.event_definitions.read_write"
SEND_EVENT = "analytics.behavioral_events.send"
NONE: tuple[str, ...] = ()

# One of the scopes of a row is enough; notes and associations are under the scopes of contacts.
NEEDED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "contacts.list contacts.read contacts.search contacts.batch_read notes.read notes.search notes.batch_read "
            "notes.associations notes.batch_associations"
        ).split(),
        (READ,),
    ),
    **dict.fromkeys(
        (
            "contacts.create contacts.update contacts.archive contacts.merge contacts.erase contacts.batch_create "
            "contacts.batch_update contacts.batch_upsert contacts.batch_archive notes.create notes.batch_create"
        ).split(),
        (WRITE,),
    ),
    **dict.fromkeys(
        "properties.list properties.read properties.list_groups".split(), (READ_SCHEMA, READ, WRITE)
    ),
    **dict.fromkeys(
        "properties.create properties.create_group".split(), (WRITE_SCHEMA,)
    ),
    **dict.fromkeys(
        "events.list_definitions events.read_definition events.define".split(), (DEFINE_EVENT,)
    ),
    **dict.fromkeys("events.send events.send_batch".split(), (SEND_EVENT,)),
    "account.read": NONE,
    "account.usage": NONE,
    "token.read": NONE,
    "properties.list_rules": (READ_SCHEMA, READ, WRITE),
}  # fmt: skip
KNOWN = frozenset(scope for scopes in NEEDED.values() for scope in scopes) | {"oauth"}


class Grants:
    """The scopes of the tokens that do not have all of them."""

    def __init__(self) -> None:
        self._by_token: dict[str, frozenset[str]] = {}

    def grant(self, token: str, scopes: Iterable[str] | None) -> None:
        """Give a token these scopes and no others; None: every scope. Raises ValueError for an unknown scope."""
        if scopes is None:
            self._by_token.pop(token, None)
            return
        given = frozenset(scopes)
        unknown = sorted(given - KNOWN)
        if unknown:
            raise ValueError(f"no scope {unknown[0]!r}: there are {', '.join(sorted(KNOWN))}")
        self._by_token[token] = given

    def scopes_of(self, token: str) -> frozenset[str]:
        """The scopes a token has."""
        return self._by_token.get(token, KNOWN)

    def check(self, token: str, operation: str) -> None:
        """Raises the 403 with every scope that would do, when the token has none of them."""
        given = self._by_token.get(token)
        needed = NEEDED[operation]
        if given is None or not needed or not given.isdisjoint(needed):
            return
        message = (
            "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: "
            "https://developers.hubspot.com/scopes."
        )
        listed: dict[str, object] = {
            "message": "One or more of the following scopes are required.",
            "context": {"requiredGranularScopes": list(needed)},
        }
        raise Refusal(403, "MISSING_SCOPES", message, errors=[listed])
