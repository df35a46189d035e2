"""The second factor: codes by time (RFC 6238), and codes that work once where the device is lost."""

from __future__ import annotations

import hashlib
import hmac
import io
import secrets

import pyotp
import segno

STEP_S = 30
"""RFC 6238; every app has it."""
_SKEW = (0, -1, 1)
"""Steps around now whose code counts: clocks of phones differ by seconds, and people type slowly."""
RECOVERY_CODES = 10
ISSUER = "wanesync"


def make_secret() -> str:
    """Return a new secret in base32: 160 bits."""
    return pyotp.random_base32()


def find_step(secret: str, code: str, now_ms: int, used_step: int) -> int:
    """Return the time step whose code this is; 0 for none, and for a step that was used, or is before one that was."""
    digits = "".join(code.split())
    totp, now = pyotp.TOTP(secret), now_ms // 1000 // STEP_S
    for step in (now + skew for skew in _SKEW):
        if step > used_step and hmac.compare_digest(
            totp.generate_otp(step).encode(), digits.encode("utf-8", "replace")
        ):
            return step
    return 0


def make_address(secret: str, name: str) -> str:
    """Return the ``otpauth:`` address that an app reads from the picture."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def draw_svg(address: str) -> str:
    """Return the picture of an address as SVG without styles, which the policy of the pages forbids."""
    out = io.BytesIO()
    segno.make(address, micro=False).save(out, kind="svg", scale=5, border=3, dark="#000", light="#fff", xmldecl=False)
    return out.getvalue().decode()


def draw_text(address: str) -> str:
    """Return the picture of an address for a terminal, in half blocks."""
    out = io.StringIO()
    segno.make(address, micro=False).terminal(out, compact=True)
    return out.getvalue()


def make_recovery_codes() -> list[str]:
    """Return new codes of 120 bits that work once (ASVS 6.5.2: 112 bits need no slow hash)."""
    codes = [secrets.token_hex(15) for _ in range(RECOVERY_CODES)]
    return ["-".join(code[at : at + 6] for at in range(0, 30, 6)) for code in codes]


def hash_code(code: str) -> str:
    """Return what is stored of a recovery code: with 120 random bits it needs no slow hash."""
    plain = "".join(character for character in code.lower() if character.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()
