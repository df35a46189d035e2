"""An operation, and the operations that simple kinds of objects share: retrieve, list, update and delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wanesync.sandbox.stripe.account import Account
from wanesync.sandbox.stripe.call import LISTS, SEARCHES, Call, Handler, merge_metadata, search, show_page
from wanesync.sandbox.stripe.collection import Collection
from wanesync.sandbox.stripe.form import Form, Ignored, ParameterType, Text
from wanesync.sandbox.stripe.objects import Record, show_deleted

NOTHING = Form()
SHARED = {*LISTS, "expand"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; Stripe limits each one across all ids."""

    method: str
    pattern: str
    form: Form
    run: Handler

    @property
    def name(self) -> str:
        """``POST /v1/customers/{id}``."""
        return f"{self.method} {self.pattern}"

    @property
    def is_search(self) -> bool:
        """All searches share one limit."""
        return self.pattern.endswith("/search")


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object at a path. ``filters``: the indexed fields that its list filters on."""

    kind: str
    path: str
    filters: tuple[str, ...] = ()

    @property
    def one(self) -> str:
        """The path of one object."""
        return f"{self.path}/{{id}}"

    def held(self, account: Account) -> Collection:
        """The objects of an account."""
        return account.more[self.kind]

    def find(self, call: Call) -> Record:
        """The object named in the path. Raises Refusal."""
        return call.account.find(self.held(call.account), call.ids[0])

    def retrieve(self, call: Call) -> Record:
        """GET one object."""
        return self.find(call)

    def list_all(self, call: Call) -> Record:
        """GET a page of objects: every filter that is a member of the object is compared with it."""
        held = self.held(call.account)
        given = {
            name: value for name, value in call.params.items() if name not in SHARED and not isinstance(value, dict)
        }
        indexed = [name for name in self.filters if given.get(name) is not None]
        name = min(indexed, key=lambda name: held.count(name, given[name]), default=None)
        lists = held.listed() if name is None else held.listed(name, (given[name],))
        return show_page(
            call, held, lists, lambda row: all(row.get(name, value) == value for name, value in given.items())
        )

    def update(self, call: Call) -> Record:
        """POST one object: members are replaced, metadata merged by key; without a change there is no event."""
        record = self.find(call)
        return call.account.update(self.held(call.account), record, merge_params(record, call.params), call.cause)

    def delete(self, call: Call) -> Record:
        """DELETE one object, with its event."""
        account, record = call.account, self.find(call)
        account.remove(self.held(account), record["id"], call.cause)
        account.emit(f"{self.held(account).event}.deleted", record, call.cause)
        return show_deleted(self.kind, record["id"])

    def reads(self, more: Mapping[str, ParameterType] | None = None) -> tuple[Operation, Operation]:
        """The operations that list and retrieve; ``more``: filters that are not indexed."""
        fields: dict[str, ParameterType] = {**LISTS, **(more or {}), **dict.fromkeys(self.filters, Text(clears=False))}
        return (
            Operation("GET", self.path, Form(fields), self.list_all),
            Operation("GET", self.one, NOTHING, self.retrieve),
        )

    def searches(self) -> Operation:
        """The operation that searches."""
        return Operation("GET", f"{self.path}/search", Form(SEARCHES, ("query",)), self.search)

    def search(self, call: Call) -> Record:
        """GET a page of search results."""
        return search(call, self.held(call.account))

    def announce(self, call: Call, record: Record) -> Record:
        """Store a new object, with its event."""
        account = call.account
        account.store(self.held(account), record, call.cause)
        account.emit(f"{self.held(account).event}.created", record, call.cause)
        return record


def merge_params(record: Record, params: Record) -> Record:
    """The object after an update with its own members: metadata merged by key, ``expand`` left out."""
    changed = {**record, **{name: value for name, value in params.items() if name in record and name != "metadata"}}
    if "metadata" in params:
        changed["metadata"] = merge_metadata(record["metadata"], params["metadata"])
    return changed


def ignored(names: str) -> dict[str, ParameterType]:
    """Parameters that are accepted without effect."""
    return dict.fromkeys(names.split(), Ignored())
