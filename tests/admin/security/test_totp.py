"""Codes by time, recovery codes, and their pictures."""

from __future__ import annotations

import base64

from wanesync.admin.security import totp

RFC_SECRET = base64.b32encode(b"12345678901234567890").decode()
"""RFC 6238, appendix B; its codes have 8 digits, ours are the last 6."""


def test_the_codes_are_those_of_the_standard() -> None:
    assert totp.find_step(RFC_SECRET, "287082", 59_000, 0) == 1
    assert totp.find_step(RFC_SECRET, "081804", 1_111_111_109_000, 0) == 37_037_036
    assert totp.find_step(RFC_SECRET, " 081 804 ", 1_111_111_109_000, 0) == 37_037_036


def test_a_code_of_a_step_before_or_after_counts_and_no_other() -> None:
    for seconds, found in ((-61, 0), (-30, 37_037_036), (30, 37_037_036), (61, 0)):
        assert totp.find_step(RFC_SECRET, "081804", 1_111_111_109_000 + seconds * 1_000, 0) == found


def test_a_used_step_and_an_earlier_one_count_no_more() -> None:
    assert totp.find_step(RFC_SECRET, "081804", 1_111_111_109_000, 37_037_036) == 0
    assert totp.find_step(RFC_SECRET, "081804", 1_111_111_109_000, 37_037_035) == 37_037_036


def test_what_is_no_code_is_refused() -> None:
    for code in ("", "0", "abcdef", "08180", "0818040", "٠٨١٨٠٤", "x" * 1000):
        assert totp.find_step(RFC_SECRET, code, 1_111_111_109_000, 0) == 0


def test_secrets_and_recovery_codes_are_random_and_long() -> None:
    assert len(base64.b32decode(totp.make_secret())) == 20
    codes = totp.make_recovery_codes()
    assert len(set(codes)) == totp.RECOVERY_CODES == 10
    assert all(len(code.replace("-", "")) == 30 for code in codes)
    assert totp.hash_code(codes[0]) == totp.hash_code(codes[0].upper().replace("-", " ")) != totp.hash_code(codes[1])


def test_the_picture_needs_no_style_and_holds_no_script() -> None:
    address = totp.make_address(RFC_SECRET, "anna<script>")
    assert address == f"otpauth://totp/wanesync:anna%3Cscript%3E?secret={RFC_SECRET}&issuer=wanesync"
    picture = totp.draw_svg(address)
    assert picture.startswith("<svg")
    assert "style" not in picture
    assert "script" not in picture
    text = totp.draw_text(address)
    assert len(text.splitlines()) > 10
