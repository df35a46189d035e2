"""A client of the control endpoints of a running sandbox, for the command line, traffic and benchmarks."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from wanesync.sandbox import json_text
from wanesync.sandbox.control import ROOT
from wanesync.sandbox.errors import InvalidRequest, SandboxUnreachable
from wanesync.sandbox.stand_in import Side

_TIMEOUT_S = 30.0
"""Reading a journal of 100,000 entries takes a few seconds on a busy machine."""


class ControlClient:
    """Reads and edits a running sandbox over HTTP, with one connection per call, so it is not meant for load.

    Every method raises SandboxUnreachable when no sandbox answers, and InvalidRequest when it refuses the request.
    """

    def __init__(self, hubspot_url: str, stripe_url: str) -> None:
        self._urls: Mapping[str, str] = {Side.HUBSPOT: hubspot_url, Side.STRIPE: stripe_url}

    def edit(self, side: str, kind: str, record_id: str | None = None, values: Mapping[str, str] | None = None) -> str:
        """Edit one side as a user does: the record id."""
        answer = self._call(side, "POST", "edit", {"kind": kind, "id": record_id, "values": dict(values or {})})
        return str(answer["id"])

    def stats(self, side: str = Side.HUBSPOT) -> dict[str, dict[str, object]]:
        """The counts of both sides, read on the port of ``side``."""
        answer = self._call(side, "GET", "stats")
        return {name: value for name, value in answer.items() if isinstance(value, dict)}

    def records(self, side: str) -> list[dict[str, str]]:
        """Every existing record of one side in short form."""
        rows = _listed(self._call(side, "GET", "records"), "records")
        return [{name: str(value) for name, value in row.items()} for row in rows]

    def journal(self, side: str, after: int = 0) -> list[dict[str, object]]:
        """The changes committed on one side after entry ``after``: seq, at_ms, kind, record_id, source, changes."""
        return _listed(self._call(side, "GET", f"journal?after={after}"), "entries")

    def set_webhooks(self, side: str, url: str, secret: str) -> None:
        """Set where the webhooks of one side go and the secret that signs them."""
        self._call(side, "POST", "webhooks", {str(side): {"url": url, "secret": secret}})

    def set_faults(self, side: str, profile: str) -> None:
        """Set the fault profile of one side."""
        self._call(side, "POST", "faults", {"profile": profile, "side": str(side)})

    def set_rate(self, side: str, per_s: int) -> None:
        """Set how many requests a second one side admits."""
        self._call(side, "POST", "limits", {"rate_per_s": per_s})

    def _call(
        self, side: str, method: str, name: str, content: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        url = self._urls[side]
        host, port = _address(side, url)
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, ROOT + name, json_text.write(content) if content is not None else None)
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
            fields = json_text.read(body)
        except (OSError, http.client.HTTPException, ValueError) as cause:
            raise SandboxUnreachable(f"no sandbox answers at {url}: start one with `wanesync sandbox`") from cause
        finally:
            connection.close()
        if not isinstance(fields, dict):
            raise SandboxUnreachable(f"what answers at {url} is not a sandbox")
        if status != 200:
            raise InvalidRequest(f"{side}: {fields.get('error', f'the sandbox answered {status}')}")
        return fields


def _address(side: str, url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        known = parts.scheme == "http" and bool(host)
    except ValueError:
        known, host, port = False, None, None
    if not known or host is None:
        raise InvalidRequest(f"{side}: {url!r} is not the address of a sandbox, such as http://127.0.0.1:7101")
    return host, port or 80


def _listed(answer: Mapping[str, object], name: str) -> list[dict[str, object]]:
    rows = answer.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
