"""The control doors: what an operator of the sandbox may ask and change, on either port.

Under ``/_sandbox/``: ``GET stats journal records``, ``POST faults webhooks edit limits``. They need
no key, take no place in a rate window and answer at once. A wrong request gets 400 with
``{"error": …}`` that says what would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Protocol
from urllib.parse import urlsplit

import orjson

from wanesync.sandbox import faults
from wanesync.sandbox.journal import Journal
from wanesync.sandbox.wire import Request, Response, Side, StandIn, WebhookTarget

ROOT = "/_sandbox/"


class Machine(StandIn, Protocol):
    """A stand-in with the control methods both sides have."""

    @property
    def journal(self) -> Journal:
        """Everything that was committed."""
        ...

    def edit(self, kind: str, record_id: str | None, values: Mapping[str, str], now_ms: int) -> str:
        """An edit by a person in the side's own pages: the id of the record; ValueError says what is wrong."""
        ...

    def stats(self, now_ms: int) -> Mapping[str, object]:
        """Counts since the start."""
        ...

    def set_faults(self, faults: faults.Faults) -> None:
        """What may go wrong from now on."""
        ...

    def set_rate(self, per_s: int) -> None:
        """How many requests a second are admitted from now on."""
        ...

    def records(self) -> list[dict[str, str]]:
        """Every living record in short form: ``id`` and its fields that are set."""
        ...


Machines = Mapping[str, Machine]
Fields = Mapping[str, object]
Door = Callable[[Machines, str, Request, int], object]


def answer(machines: Machines, side: str, request: Request, now_ms: int) -> Response:
    """Answer a request to a control door that came in on the port of ``side``."""
    name = request.path.removeprefix(ROOT)
    door = _DOORS.get((request.method, name))
    if door is None:
        known = any(name == other for _, other in _DOORS)
        offered = ", ".join(f"{method} {ROOT}{other}" for method, other in _DOORS)
        return _json(405 if known else 404, {"error": f"no such door; there are: {offered}"})
    try:
        return _json(200, door(machines, side, request, now_ms))
    except (ValueError, LookupError) as problem:
        return _json(400, {"error": str(problem.args[0]) if problem.args else type(problem).__name__})


def _json(status: int, content: object) -> Response:
    return Response(status, {"content-type": "application/json"}, orjson.dumps(content))


def _stats(machines: Machines, _side: str, _request: Request, now_ms: int) -> object:
    return {str(side): machine.stats(now_ms) for side, machine in machines.items()}


def _journal(machines: Machines, side: str, request: Request, _now_ms: int) -> object:
    text = dict(request.query).get("after", "0")
    if not text.isascii() or not text.isdigit():
        raise ValueError("after: the number of the last entry you have is wanted, 0 for all")
    entries = machines[side].journal.after(int(text))
    return {"entries": [asdict(entry) for entry in entries]}


def _records(machines: Machines, side: str, _request: Request, _now_ms: int) -> object:
    return {"records": machines[side].records()}


def _set_faults(machines: Machines, _side: str, request: Request, _now_ms: int) -> object:
    fields = _fields(request)
    sides = _sides(fields.pop("side", None))
    values: dict[str, object] = {}
    if "profile" in fields:
        profile = fields.pop("profile")
        if not isinstance(profile, str) or profile not in faults.PROFILES:
            raise ValueError(f"profile: one of {', '.join(faults.PROFILES)} is wanted")
        values = asdict(faults.PROFILES[profile])
    elif not fields:
        raise ValueError("profile, or single faults by name, are wanted")
    wanted = faults.parse(values | fields)
    for side in sides:
        machines[side].set_faults(wanted)
    return {"faults": asdict(wanted), "sides": sides}


def _set_webhooks(machines: Machines, _side: str, request: Request, _now_ms: int) -> object:
    fields = _fields(request)
    if not fields:
        raise ValueError('{"hubspot": {"url", "secret"}, "stripe": {"url", "secret"}} (either or both) is wanted')
    targets = {_sides(name)[0]: _target(name, value) for name, value in fields.items()}
    for side, target in targets.items():
        machines[side].set_target(target)
    return {"webhooks": {str(side): target.url if target else None for side, target in targets.items()}}


def _target(name: str, value: object) -> WebhookTarget | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"url", "secret"}:
        raise ValueError(f'{name}: {{"url", "secret"}}, or null for no webhooks, is wanted')
    url, secret = value["url"], value["secret"]
    if not isinstance(secret, str) or not secret:
        raise ValueError(f"{name}.secret: a text that is not empty is wanted")
    if not isinstance(url, str) or not _is_http(url):
        raise ValueError(f"{name}.url: an http:// or https:// address is wanted")
    return WebhookTarget(url, secret)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _edit(machines: Machines, side: str, request: Request, now_ms: int) -> object:
    fields = _fields(request)
    unknown = sorted(set(fields) - {"side", "kind", "id", "values"})
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)} (wanted: side, kind, id, values)")
    kind, record_id, values = fields.get("kind"), fields.get("id"), fields.get("values", {})
    if not isinstance(kind, str):
        raise ValueError("kind: a text is wanted, such as create, update or delete")
    if not isinstance(record_id, str | None):
        raise ValueError("id: a text is wanted")
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ValueError("values: an object of texts is wanted")
    chosen = _sides(fields.get("side") or str(side))
    return {"id": machines[chosen[0]].edit(kind, record_id, values, now_ms)}


def _set_limits(machines: Machines, side: str, request: Request, _now_ms: int) -> object:
    fields = _fields(request)
    rate = fields.get("rate_per_s")
    if isinstance(rate, bool) or not isinstance(rate, int) or not 0 < rate <= 100_000:
        raise ValueError("rate_per_s: a whole number above 0 is wanted")
    for chosen in _sides(fields.get("side") or str(side)):
        machines[chosen].set_rate(rate)
    return {"rate_per_s": rate}


def _fields(request: Request) -> dict[str, object]:
    try:
        content = orjson.loads(request.body)
    except orjson.JSONDecodeError as cause:
        raise ValueError("the body is not JSON") from cause
    if not isinstance(content, dict):
        raise ValueError("the body is not a JSON object")
    return content


def _sides(name: object) -> list[Side]:
    """The side named, or both when none is."""
    if name is None:
        return list(Side)
    if not isinstance(name, str) or name not in list(Side):
        raise ValueError("side: hubspot or stripe is wanted")
    return [Side(name)]


_DOORS: Mapping[tuple[str, str], Door] = {
    ("GET", "stats"): _stats,
    ("GET", "journal"): _journal,
    ("GET", "records"): _records,
    ("POST", "faults"): _set_faults,
    ("POST", "webhooks"): _set_webhooks,
    ("POST", "edit"): _edit,
    ("POST", "limits"): _set_limits,
}
