"""The cookies: of a session, and of a browser that was signed in before."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import Response

from wanesync.admin.services import AdminServices

SESSION, DEVICE = "wanesync", "wanesync-device"
_PORT_DIGITS = 5
DEVICE_S = 180 * 86_400
"""How long a browser is recognised (our choice): it only gets a count of guesses of its own."""


def name_cookie(name: str, request: Request, *, secure: bool) -> str:
    """Return the name: with the prefix that binds it to this host and to TLS, where there is TLS.

    Without TLS it names the port: all services of one host share their cookies, and must not replace one another's.
    """
    return f"__Host-{name}" if secure else f"{name}-{_find_port(request)}"


def _find_port(request: Request) -> str:
    """Return the port by which the browser reaches this service; what is no port counts as the usual one."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return port if port.isascii() and port.isdecimal() and len(port) <= _PORT_DIGITS else "80"


def read_session(services: AdminServices, request: Request) -> str:
    """Return the secret of the session of a request, "" without one."""
    return request.cookies.get(name_cookie(SESSION, request, secure=services.access.secure), "")


def set_session(services: AdminServices, request: Request, response: Response, secret: str) -> None:
    """Give a browser its session: until it is closed, and not readable by scripts."""
    _set(services, request, response, (SESSION, secret))


def clear_session(services: AdminServices, request: Request, response: Response) -> None:
    """Take the session from a browser."""
    _set(services, request, response, (SESSION, ""), max_age=0)


def read_device(services: AdminServices, request: Request, user: str) -> str:
    """Return the id of a browser that a user was signed in with before, "" for any other."""
    value = request.cookies.get(name_cookie(DEVICE, request, secure=services.access.secure), "")
    device, _, proof = value.partition(".")
    return device if device and secrets.compare_digest(_prove(services, device, user), proof) else ""


def set_device(services: AdminServices, request: Request, response: Response, user: str) -> None:
    """Let a browser be recognised as one that this user was signed in with."""
    device = secrets.token_urlsafe(12)
    _set(services, request, response, (DEVICE, f"{device}.{_prove(services, device, user)}"), max_age=DEVICE_S)


def _prove(services: AdminServices, device: str, user: str) -> str:
    return services.store.row_hash(f"admin device|{device}|{user}")


def _set(
    services: AdminServices, request: Request, response: Response, cookie: tuple[str, str], max_age: int | None = None
) -> None:
    secure, (name, value) = services.access.secure, cookie
    # Lax: a link in a notice leads to the page itself, not to the log-in. What changes something needs a token besides.
    response.set_cookie(
        name_cookie(name, request, secure=secure),
        value,
        max_age,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )
