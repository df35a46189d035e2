"""Requests that change something come from our own pages: by the token of the session, and by what the browser says.

OWASP ASVS 5.0, 3.5. A request with a token of the API needs neither: no browser sends that by itself.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

FIELD, HEADER = "csrf", "x-csrf-token"
"""Where the token stands: a hidden field of a form, or a header of a request by script."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def make_token(session_secret: str) -> str:
    """Return the token of a session: nothing of it is stored, and it says nothing about the cookie."""
    return hmac.digest(session_secret.encode(), b"wanesync csrf", hashlib.sha256).hex()


def matches(expected: str, given: str) -> bool:
    """Compare in constant time."""
    return bool(expected) and hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def is_foreign(headers: Mapping[str, str], host: str) -> bool:
    """Return whether the browser says that a request comes from another site. ``host``: the one it was sent to."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return True
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True  # "http://[" is no origin
