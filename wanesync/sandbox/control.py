"""The control endpoints: what an operator of the sandbox reads and changes, on either port.

Under ``/_sandbox/``: ``GET stats journal records``, ``POST faults webhooks edit limits grants revoke``. They need no
key, are not counted by the rate limits and have no latency. An invalid request gets 400 with ``{"error": …}``, which
says what is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from urllib.parse import urlsplit

from wanesync.sandbox import faults, json_text
from wanesync.sandbox.stand_in import Request, Response, Side, StandIn, WebhookTarget

ROOT = "/_sandbox/"


StandIns = Mapping[str, StandIn]
Endpoint = Callable[[StandIns, str, Request, int], object]


def answer(stand_ins: StandIns, side: str, request: Request, now_ms: int) -> Response:
    """Answer a control request that arrived on the port of ``side``."""
    name = request.path.removeprefix(ROOT)
    endpoint = _ENDPOINTS.get((request.method, name))
    if endpoint is None:
        known = any(name == other for _, other in _ENDPOINTS)
        offered = ", ".join(f"{method} {ROOT}{other}" for method, other in _ENDPOINTS)
        return _json(405 if known else 404, {"error": f"no such endpoint; there are: {offered}"})
    try:
        return _json(200, endpoint(stand_ins, side, request, now_ms))
    except (ValueError, LookupError) as problem:
        return _json(400, {"error": str(problem.args[0]) if problem.args else type(problem).__name__})


def _json(status: int, content: object) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json_text.write(content))


def _stats(stand_ins: StandIns, _side: str, _request: Request, now_ms: int) -> object:
    return {str(side): machine.stats(now_ms) for side, machine in stand_ins.items()}


def _journal(stand_ins: StandIns, side: str, request: Request, _now_ms: int) -> object:
    text = dict(request.query).get("after", "0")
    if not text.isascii() or not text.isdigit():
        raise ValueError("after: expected the number of the last entry you have, 0 for all")
    entries = stand_ins[side].journal.after(int(text))
    return {"entries": [asdict(entry) for entry in entries]}


def _records(stand_ins: StandIns, side: str, _request: Request, _now_ms: int) -> object:
    return {"records": stand_ins[side].records()}


def _set_faults(stand_ins: StandIns, _side: str, request: Request, _now_ms: int) -> object:
    fields = _fields(request)
    sides = _sides(fields.pop("side", None))
    values: dict[str, object] = {}
    if "profile" in fields:
        profile = fields.pop("profile")
        if not isinstance(profile, str) or profile not in faults.PROFILES:
            raise ValueError(f"profile: expected one of {', '.join(faults.PROFILES)}")
        values = asdict(faults.PROFILES[profile])
    elif not fields:
        raise ValueError("expected a profile, or single faults by name")
    parsed = faults.parse(values | fields)
    for side in sides:
        stand_ins[side].set_faults(parsed)
    return {"faults": asdict(parsed), "sides": sides}


def _set_webhooks(stand_ins: StandIns, _side: str, request: Request, _now_ms: int) -> object:
    fields = _fields(request)
    if not fields:
        raise ValueError('expected {"hubspot": {"url", "secret"}, "stripe": {"url", "secret"}} (either or both)')
    targets = {_sides(name)[0]: _target(name, value) for name, value in fields.items()}
    for side, target in targets.items():
        stand_ins[side].set_target(target)
    return {"webhooks": {str(side): target.url if target else None for side, target in targets.items()}}


def _target(name: str, value: object) -> WebhookTarget | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"url", "secret"}:
        raise ValueError(f'{name}: expected {{"url", "secret"}}, or null for no webhooks')
    url, secret = value["url"], value["secret"]
    if not isinstance(secret, str) or not secret:
        raise ValueError(f"{name}.secret: expected a non-empty string")
    if not isinstance(url, str) or not _is_http(url):
        raise ValueError(f"{name}.url: expected an http:// or https:// address")
    return WebhookTarget(url, secret)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _edit(stand_ins: StandIns, side: str, request: Request, now_ms: int) -> object:
    fields = _fields(request)
    unknown = sorted(set(fields) - {"side", "kind", "id", "values"})
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)} (expected: side, kind, id, values)")
    kind, record_id, values = fields.get("kind"), fields.get("id"), fields.get("values", {})
    if not isinstance(kind, str):
        raise ValueError("kind: expected a string such as create, update or delete")
    if not isinstance(record_id, str | None):
        raise ValueError("id: expected a string")
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ValueError("values: expected an object of strings")
    chosen = _sides(fields.get("side") or str(side))
    return {"id": stand_ins[chosen[0]].edit(kind, record_id, values, now_ms)}


def _set_limits(stand_ins: StandIns, side: str, request: Request, _now_ms: int) -> object:
    fields = _fields(request)
    rate = fields.get("rate_per_s")
    if isinstance(rate, bool) or not isinstance(rate, int) or not 0 < rate <= 100_000:
        raise ValueError("rate_per_s: expected an integer above 0")
    for chosen in _sides(fields.get("side") or str(side)):
        stand_ins[chosen].set_rate(rate)
    return {"rate_per_s": rate}


def _set_grants(stand_ins: StandIns, side: str, request: Request, _now_ms: int) -> object:
    fields = _fields(request)
    key, grants = fields.get("key"), fields.get("grants")
    if not isinstance(key, str) or not key:
        raise ValueError("key: expected the token or the restricted key")
    if grants is not None and not (isinstance(grants, list) and all(isinstance(grant, str) for grant in grants)):
        raise ValueError("grants: expected a list of scopes or permissions, or null for all of them")
    chosen = _sides(fields.get("side") or str(side))[0]
    stand_ins[chosen].set_grants(key, grants)
    return {"key": key, "grants": grants, "side": str(chosen)}


def _revoke(stand_ins: StandIns, side: str, request: Request, _now_ms: int) -> object:
    fields = _fields(request)
    key = fields.get("key")
    if not isinstance(key, str) or not key:
        raise ValueError("key: expected the token or the key that is refused from now on")
    chosen = _sides(fields.get("side") or str(side))[0]
    stand_ins[chosen].revoke(key)
    return {"key": key, "side": str(chosen)}


def _fields(request: Request) -> dict[str, object]:
    try:
        content = json_text.read(request.body)
    except ValueError as cause:
        raise ValueError("the body is not JSON") from cause
    if not isinstance(content, dict):
        raise ValueError("the body is not a JSON object")
    return content


def _sides(name: object) -> list[Side]:
    """The named side; both sides for None."""
    if name is None:
        return list(Side)
    if not isinstance(name, str) or name not in list(Side):
        raise ValueError("side: expected hubspot or stripe")
    return [Side(name)]


_ENDPOINTS: Mapping[tuple[str, str], Endpoint] = {
    ("GET", "stats"): _stats,
    ("GET", "journal"): _journal,
    ("GET", "records"): _records,
    ("POST", "faults"): _set_faults,
    ("POST", "webhooks"): _set_webhooks,
    ("POST", "edit"): _edit,
    ("POST", "limits"): _set_limits,
    ("POST", "grants"): _set_grants,
    ("POST", "revoke"): _revoke,
}
