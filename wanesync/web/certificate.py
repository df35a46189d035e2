"""The certificate of the web server: checked at the start, read again when it is renewed, never worse than before."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509

from wanesync.config.references import check_private
from wanesync.core.errors import ConfigError

logger = structlog.get_logger(__name__)

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only (Mozilla's intermediate list); TLS 1.3 has no other."""
EXPIRY_DAYS = 14
"""A certificate that ends sooner raises an alarm (our choice): usual programs renew 30 days before."""
DAY_S = 86_400
MISMATCH = "KEY_VALUES_MISMATCH"
"""How OpenSSL names a key that belongs to another certificate."""

Fingerprint = tuple[tuple[int, int, int], ...]
"""Inode, size and time of change of both files."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A pair that can be served. ``ends_s``: when the first certificate of the file ends, seconds since 1970."""

    context: ssl.SSLContext
    ends_s: float


class ServerCertificate:
    """A certificate chain and its key, in two PEM files. Raises ``ConfigError`` if they cannot be served.

    ``context`` is what the next connection is answered with; connections that are open keep theirs. ``refresh`` is
    called by the heartbeat of the process.
    """

    def __init__(self, certificate: str, key: str, now_s: Callable[[], float] = time.time) -> None:
        self._certificate, self._key, self._now_s = Path(certificate), Path(key), now_s
        self._seen = self._look()
        self._loaded = self._load()
        self._failure = ""
        self._failed_before = False

    @property
    def context(self) -> ssl.SSLContext:
        """The context of the newest pair that can be served."""
        return self._loaded.context

    @property
    def ends_s(self) -> float:
        """When the certificate ends, seconds since 1970."""
        return self._loaded.ends_s

    def refresh(self) -> None:
        """Take the pair again if one of its files has changed; one that cannot be served leaves the old one in use."""
        seen = self._look()
        if seen == self._seen and not self._failure:
            return
        try:
            loaded = self._load()
        except ConfigError as error:
            # Certificate and key are two files: for a moment they may not belong together.
            if self._failed_before and not self._failure:
                self._failure = "; ".join(error.problems)
                logger.error("the renewed certificate cannot be used: the old one stays", reason=self._failure)
            self._failed_before = True
            return
        self._seen, self._loaded, self._failure, self._failed_before = seen, loaded, "", False
        logger.info("certificate renewed", ends=_show(loaded.ends_s))

    def find_trouble(self) -> str:
        """Return what is wrong with the certificate, "" if nothing is: a bad renewal, or an end that is near."""
        if self._failure:
            return f"the renewed certificate cannot be used, and the old one stays until {_show(self.ends_s)}: " + (
                self._failure.removeprefix("server.")
            )
        left_s = self.ends_s - self._now_s()
        if left_s >= EXPIRY_DAYS * DAY_S:
            return ""
        ends = f"ends in {int(left_s // DAY_S)} days" if left_s > 0 else "has ended"
        return f"the certificate of the web server {ends} ({_show(self.ends_s)}): renew {self._certificate}"

    def _look(self) -> Fingerprint:
        found = []
        for path in (self._certificate, self._key):
            state = (0, 0, 0)
            with suppress(OSError):
                stat = path.stat()
                state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            found.append(state)
        return tuple(found)

    def _load(self) -> _Loaded:
        ends_s = _check_dates(self._certificate, self._now_s())
        _check_key_file(self._key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        try:
            # Without the password OpenSSL would ask the terminal for one.
            context.load_cert_chain(self._certificate, self._key, password=lambda: _refuse_password(self._key))
        except ssl.SSLError as error:
            if error.reason == MISMATCH:
                text = f"server.key: {self._key} is not the key of {self._certificate}: give the one it was made with"
            else:
                text = f"server.key: {self._key} cannot be used ({error.reason or 'no key'}): give its key in PEM form"
            raise ConfigError([text]) from None
        except OSError as error:
            # Replaced since it was looked at.
            text = f"server.key: {self._key} or {self._certificate} cannot be read ({error.strerror})"
            raise ConfigError([text]) from error
        return _Loaded(context, ends_s)


def _check_dates(path: Path, now_s: float) -> float:
    """Return when the first certificate of a chain ends. Raises ``ConfigError``."""
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError([f"server.certificate: {path} cannot be read ({error.strerror})"]) from error
    except ValueError:
        text = f"server.certificate: {path} holds no certificate in PEM form: give the full chain (fullchain.pem)"
        raise ConfigError([text]) from None
    begins_s = max(one.not_valid_before_utc.timestamp() for one in chain)
    ends_s = min(one.not_valid_after_utc.timestamp() for one in chain)
    if ends_s <= now_s:
        raise ConfigError([f"server.certificate: {path} has expired ({_show(ends_s)}): renew it"])
    if begins_s > now_s:
        text = f"server.certificate: {path} is valid from {_show(begins_s)} on: check the clock of this machine"
        raise ConfigError([text])
    return ends_s


def _check_key_file(path: Path) -> None:
    try:
        exposure = check_private(path, path.stat())
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigError([f"server.key: {path} cannot be read ({error.strerror})"]) from error
    if exposure:
        raise ConfigError([f"server.key: {path} {exposure}"])


def _refuse_password(path: Path) -> str:
    raise ConfigError([f"server.key: {path} is encrypted with a password: give a key without one, mode 0600"])


def _show(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
