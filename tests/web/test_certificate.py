"""The certificate of the web server: what is refused at the start, and a renewal that goes right or wrong."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.certificates import DAY, Authority, Pair
from wanesync.core.errors import ConfigError
from wanesync.web import certificate
from wanesync.web.certificate import ServerCertificate


@pytest.fixture(name="authority")
def make_authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def load(pair: Pair) -> ServerCertificate:
    return ServerCertificate(str(pair.certificate), str(pair.key))


def expired(authority: Authority) -> Pair:
    return authority.issue("a.example", valid_for=-timedelta(hours=1), began_before=30 * DAY)


def not_yet(authority: Authority) -> Pair:
    return authority.issue("a.example", began_before=-DAY)


def mismatched(authority: Authority) -> Pair:
    return Pair(authority.issue("a.example").certificate, authority.issue("a.example").key)


def absent(authority: Authority) -> Pair:
    pair = authority.issue("a.example")
    pair.certificate.unlink()
    return pair


def no_key(authority: Authority) -> Pair:
    pair = authority.issue("a.example")
    pair.key.unlink()
    return pair


def garbled(authority: Authority) -> Pair:
    pair = authority.issue("a.example")
    pair.certificate.write_text("-----BEGIN NOTHING-----\n")
    return pair


def garbled_key(authority: Authority) -> Pair:
    pair = authority.issue("a.example")
    pair.key.write_text("planted nonsense")
    return pair


def public_key_file(authority: Authority) -> Pair:
    pair = authority.issue("a.example")
    pair.key.chmod(0o644)
    return pair


def encrypted(authority: Authority) -> Pair:
    pair = authority.issue("a.example")
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"planted")
    pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    return pair


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (expired, r"server\.certificate: .* has expired \(20.* UTC\): renew it"),
        (not_yet, r"server\.certificate: .* is valid from 20.* on: check the clock"),
        (mismatched, r"server\.key: .* is not the key of .*: give the one it was made with"),
        (absent, r"server\.certificate: .* cannot be read \(No such file"),
        (no_key, r"server\.key: .* cannot be read \(No such file"),
        (garbled, r"server\.certificate: .* holds no certificate in PEM form"),
        (garbled_key, r"server\.key: .* cannot be used \(.*\): give its key in PEM form"),
        (public_key_file, r"server\.key: .* can be read by others \(mode 0644\): chmod 600"),
        (encrypted, r"server\.key: .* is encrypted with a password"),
    ],
)
def test_a_pair_that_cannot_be_served_is_one_clear_line(
    authority: Authority, make: Callable[[Authority], Pair], text: str
) -> None:
    with pytest.raises(ConfigError, match=text) as raised:
        load(make(authority))
    assert len(raised.value.problems) == 1
    assert "planted" not in str(raised.value)


def test_old_protocols_and_weak_ciphers_are_not_spoken(authority: Authority) -> None:
    context = load(authority.issue("a.example")).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert {name for name in names if "GCM" not in name and "CHACHA20" not in name and "CCM" not in name} == set()
    assert {name for name in names if not name.startswith(("TLS_", "ECDHE-"))} == set()


def renew(pair: Pair, by: Pair) -> None:
    """Replace both files, as certbot does: one after the other."""
    shutil.copy(by.certificate, pair.certificate)
    shutil.copy(by.key, pair.key)


def test_a_renewal_is_taken_and_a_bad_one_leaves_the_old_one(authority: Authority) -> None:
    pair = authority.issue("a.example", valid_for=30 * DAY)
    served = load(pair)
    first, ends_s = served.context, served.ends_s
    served.refresh()
    assert served.context is first, "nothing has changed"
    renew(pair, authority.issue("a.example", valid_for=90 * DAY))
    served.refresh()
    assert served.context is not first
    assert served.ends_s > ends_s + 50 * DAY.total_seconds()
    assert served.find_trouble() == ""
    second = served.context
    shutil.copy(authority.issue("a.example").key, pair.key)
    served.refresh()
    assert served.find_trouble() == "", "for a moment both files may not belong together"
    served.refresh()
    assert served.context is second
    assert "the renewed certificate cannot be used, and the old one stays until 20" in served.find_trouble()
    renew(pair, authority.issue("a.example", valid_for=90 * DAY))
    served.refresh()
    assert served.find_trouble() == ""
    assert served.context is not second


def test_a_file_that_is_replaced_while_it_is_read_leaves_the_old_one(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the key and its loading a renewal may take it away for a moment."""
    pair = authority.issue("a.example")
    served = load(pair)
    first = served.context
    renew(pair, authority.issue("a.example", valid_for=90 * DAY))
    kept = pair.key.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(certificate, "_check_key_file", lambda path: path.unlink())
        served.refresh()
    assert served.context is first
    pair.key.write_bytes(kept)
    pair.key.chmod(0o600)
    served.refresh()
    assert served.context is not first


def test_files_that_vanish_leave_the_old_one(authority: Authority) -> None:
    pair = authority.issue("a.example")
    served = load(pair)
    pair.certificate.unlink()
    served.refresh()
    served.refresh()
    assert "cannot be read" in served.find_trouble()


def test_an_end_that_is_near_is_named(authority: Authority) -> None:
    pair = authority.issue("a.example", valid_for=20 * DAY)
    now_s = [pair.certificate.stat().st_mtime]
    served = ServerCertificate(str(pair.certificate), str(pair.key), lambda: now_s[0])
    assert served.find_trouble() == ""
    now_s[0] += 7 * DAY.total_seconds()
    assert "ends in 12 days" in served.find_trouble()
    now_s[0] += 20 * DAY.total_seconds()
    assert "has ended" in served.find_trouble()
