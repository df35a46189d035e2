"""Who is asking: API keys of a test-mode account."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from wanesync.sandbox.stripe.refusals import INVALID, Refusal

TEST_KEY = re.compile(r"[sr]k_test_[A-Za-z0-9_]+")


def read_key(headers: Mapping[str, str], account_id: str) -> str:
    """The API key, from Bearer or Basic. Raises Refusal: 401 for none, a live or a malformed one, 403 elsewhere."""
    key = _find_key(headers.get("authorization", ""))
    if not key:
        text = (
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
        raise Refusal(401, text).of_type(INVALID, {"WWW-Authenticate": 'Basic realm="Stripe"'})
    hidden = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "*" * 8
    if not TEST_KEY.fullmatch(key):
        raise Refusal(401, f"Invalid API Key provided: {hidden}").of_type(
            INVALID, {"WWW-Authenticate": 'Basic realm="Stripe"'}
        )
    wanted = headers.get("stripe-account", account_id)
    if wanted != account_id:
        text = (
            f"The provided key '{hidden}' does not have access to account '{wanted}' (or that account does not exist)."
        )
        raise Refusal(403, text, code="account_invalid")
    return key


def _find_key(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""
