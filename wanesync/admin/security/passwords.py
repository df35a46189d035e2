"""Passwords: which are taken, how they are stored and compared (OWASP ASVS 5.0, 6.2 and 11.4.2)."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_CHARS = 12
"""ASVS 6.2.1 asks for 8 and advises 15; our choice lies between, beside a check against what is guessed first."""
MAX_CHARS = 256
"""ASVS 6.2.9 asks for at least 64; more than this is no password, and costs time."""
_MIN_SCORE = 3
"""Of zxcvbn's 0 to 4: "safely unguessable", more than 10^8 guesses."""
_AT_A_TIME = 2
"""Each comparison takes 64 MiB (RFC 9106): so many run at once, and the others wait."""


def find_flaw(password: str, name: str) -> str:
    """Return what is wrong with a new password, "" if nothing: its length, or that it is among the first guesses.

    ``name``: of the user, which is guessed, too. Any character is taken, and no mixture of kinds is asked for.
    """
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its lists of common passwords take 30 ms to import

    if len(password) < MIN_CHARS:
        return f"a password has at least {MIN_CHARS} characters; a sentence is easy to remember"
    if len(password) > MAX_CHARS:
        return f"a password has at most {MAX_CHARS} characters"
    # The library refuses more than 72 characters; what follows them cannot make a password weaker.
    if zxcvbn(password[:72], [name, "wanesync"])["score"] < _MIN_SCORE:
        return "this password is among those that are guessed first: take another one, such as four words by chance"
    return ""


class Passwords:
    """Hashes and compares passwords with argon2id, in the parameters of RFC 9106 for little memory."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn = threading.Semaphore(_AT_A_TIME)
        self._none = ""

    def hash(self, password: str) -> str:
        """Return what is stored of a password."""
        with self._turn:
            return self._hasher.hash(password)

    def matches(self, stored: str, password: str) -> bool:
        """Return whether a password is the stored one; False after the same work where ``stored`` is ""."""
        if not self._none:
            self._none = self.hash("compared where there is no user")
        with self._turn:
            try:
                self._hasher.verify(stored or self._none, password[: MAX_CHARS + 1])
            except (VerificationError, InvalidHashError):
                return False
        return bool(stored)
