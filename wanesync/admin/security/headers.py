"""Headers of every answer, errors included: what a browser may load, and that nothing is kept or framed.

OWASP ASVS 5.0, 3.4 and 14.3.2; each header is described at developer.mozilla.org/docs/Web/HTTP/Headers.
"""

from __future__ import annotations

import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ASSETS = "/assets/"
HSTS = "max-age=31536000; includeSubDomains"
"""A year, which ASVS asks for."""
_FIXED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with it browsers send the forms of our own pages with "Origin: null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def make_policy(nonce: str) -> str:
    """Return the Content-Security-Policy of a page: own scripts and styles with its nonce, nothing else.

    Icons of the style sheet are ``data:`` images.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    )


class SecurityHeaders:
    """Sets the headers (ASGI middleware), and the nonce of the page in ``request.state.nonce``.

    ``secure``: browsers reach the service over TLS.
    """

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app, self._secure = app, secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(18)
        scope.setdefault("state", {})["nonce"] = nonce

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_FIXED)
                headers["Content-Security-Policy"] = make_policy(nonce)
                if self._secure:
                    headers["Strict-Transport-Security"] = HSTS
                if not scope["path"].startswith(ASSETS) or message["status"] != 200:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)
