from __future__ import annotations

import base64
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanesync.core.errors import ConfigError, DecryptionFailed
from wanesync.store.encryption import READER, Encryption, load_keyring, make_key
from wanesync.store.key_source import ListedKeys

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
SEAL = Encryption({"old1": OLD}, b"index")


@given(value=st.binary(), row=st.text(), purpose=st.text())
def test_what_is_sealed_opens_in_its_place(value: bytes, row: str, purpose: str) -> None:
    blob = SEAL.encrypt(value, "records", row, purpose)
    assert blob[:5] == b"\x01old1"
    assert len(blob) == 17 + len(value) + 16
    assert SEAL.decrypt(blob, "records", row, purpose) == value


def test_the_same_value_is_never_sealed_alike() -> None:
    assert SEAL.encrypt("ann@example.com", "t", "1", "p") != SEAL.encrypt("ann@example.com", "t", "1", "p")


@pytest.mark.parametrize("place", [("links", "1", "base"), ("records", "2", "base"), ("records", "1", "seen")])
def test_a_sealed_value_opens_nowhere_else(place: tuple[str, str, str]) -> None:
    blob = SEAL.encrypt("ann@example.com", "records", "1", "base")
    with pytest.raises(DecryptionFailed):
        SEAL.decrypt(blob, *place)


@given(st.integers(min_value=0, max_value=47), st.integers(min_value=1, max_value=255))
def test_any_altered_byte_is_noticed(position: int, change: int) -> None:
    blob = bytearray(SEAL.encrypt("a secret value", "t", "1", "p"))
    blob[position % len(blob)] ^= change
    with pytest.raises(DecryptionFailed) as caught:
        SEAL.decrypt(bytes(blob), "t", "1", "p")
    assert "secret value" not in str(caught.value)


@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x01old1", b"\x02old1" + bytes(40)])
def test_what_is_no_sealed_value_is_refused(blob: bytes) -> None:
    with pytest.raises(DecryptionFailed):
        SEAL.decrypt(blob, "t", "1", "p")


def test_the_first_key_seals_and_every_key_opens() -> None:
    rotated = Encryption({"new1": NEW, "old1": OLD}, b"index")
    blob = SEAL.encrypt("x", "t", "1", "p")
    assert rotated.decrypt(blob, "t", "1", "p") == b"x"
    assert not rotated.is_newest_key(blob)
    assert rotated.is_newest_key(rotated.encrypt("x", "t", "1", "p"))
    with pytest.raises(DecryptionFailed, match="key"):
        SEAL.decrypt(rotated.encrypt("x", "t", "1", "p"), "t", "1", "p")


def test_an_address_has_one_hash_however_it_is_written() -> None:
    composed, decomposed = "jos\u00e9@example.com", "  JOSE\u0301@Example.com "
    assert SEAL.hmac(composed) == SEAL.hmac(decomposed)
    assert len(SEAL.hmac(composed)) == 32
    assert SEAL.hmac(composed) != SEAL.hmac("other@example.com")
    assert SEAL.hmac(composed) != SEAL.with_index_key(b"another").hmac(composed)
    assert SEAL.hmac(composed) == Encryption({"new1": NEW}, b"index").hmac(composed)


def test_hashes_of_rows_are_keyed_and_differ_from_those_of_addresses() -> None:
    assert SEAL.row_hash("a@b.c") != SEAL.hmac("a@b.c")
    assert SEAL.row_hash("a@b.c") != SEAL.with_index_key(b"another").row_hash("a@b.c")
    with pytest.raises(DecryptionFailed):
        Encryption({"old1": OLD}).hmac("a@b.c")
    with pytest.raises(DecryptionFailed):
        Encryption({"old1": OLD}).row_hash("a@b.c")


def test_configured_keys_are_checked_all_at_once_and_never_shown() -> None:
    good = make_key("good")
    short = "shrt:" + base64.b64encode(b"too short").decode()
    with pytest.raises(ConfigError) as caught:
        load_keyring([good, "nonsense", short, "bad1:!!!!", good], "sqlite:x")
    assert len(caught.value.problems) == 4
    assert base64.b64encode(b"too short").decode() not in str(caught.value)
    assert load_keyring([make_key("newk"), good], "postgresql://h/d").newest == "newk"


def test_postgres_needs_configured_keys() -> None:
    with pytest.raises(ConfigError, match="openssl rand -base64 32"):
        load_keyring([], "postgresql://h/d")
    with pytest.raises(ConfigError):
        Encryption({})


def test_a_new_sqlite_database_gets_a_key_file_of_its_owner(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'state.db'}"
    first = load_keyring([], url)
    path = tmp_path / "state.db.keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.db.keys"]
    assert load_keyring([], url).decrypt(first.encrypt("x", "t", "1", "p"), "t", "1", "p") == b"x"


def test_a_key_file_others_can_read_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'state.db'}"
    load_keyring([], url)
    (tmp_path / "state.db.keys").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_keyring([], url)


def test_a_database_whose_key_file_is_gone_gets_no_new_one(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"SQLite format 3\x00")
    with pytest.raises(ConfigError, match="is missing"):
        load_keyring([], f"sqlite:{tmp_path / 'state.db'}")
    assert not (tmp_path / "state.db.keys").exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folder"):
        load_keyring([], f"sqlite:{tmp_path / 'no' / 'state.db'}")


@pytest.mark.parametrize("blob", [b"", b"\x01abcd", b"\x02" + b"a" * 40])
def test_what_is_no_encrypted_value_is_named_by_its_place(blob: bytes) -> None:
    with pytest.raises(DecryptionFailed) as raised:
        Encryption({"aaaa": b"k" * 32}).decrypt(blob, "records", "hubspot:7", "content")
    assert (raised.value.table, raised.value.row) == ("records", "hubspot:7")


def test_a_remembered_value_counts_in_its_own_place_only() -> None:
    encryption, place = Encryption({"old1": OLD}), ("records", "stripe:cus_1", "content")
    blob = encryption.seal(b"packed", place, "value")
    assert encryption.open(blob, place, bytes.decode) == "value"
    assert Encryption({"old1": OLD}).open(blob, place, bytes.decode) == "packed"
    with pytest.raises(DecryptionFailed):
        encryption.open(blob, ("records", "stripe:cus_2", "content"), bytes.decode)
    with pytest.raises(DecryptionFailed):
        encryption.open(blob[:-1] + bytes([blob[-1] ^ 1]), place, bytes.decode)


def test_only_the_newest_values_are_remembered() -> None:
    encryption, place = Encryption({"old1": OLD}), ("records", "stripe:cus_1", "content")
    first, large = encryption.seal(b"packed", place, "value"), encryption.seal(b"x" * 5_000, place, "large")
    for _ in range(5_000):
        encryption.seal(b"other", place, "other")
    assert encryption.open(first, place, bytes.decode) == "packed"
    assert encryption.open(large, place, len) == 5_000


def test_the_key_that_every_process_has_encrypts() -> None:
    both = Encryption({"new1": NEW, "old1": OLD})
    assert (both.sealing, both.newest) == ("new1", "new1")
    both.agree([SEAL.report, both.report])
    assert (both.sealing, both.newest) == ("old1", "new1")
    assert both.encrypt("x", "t", "1", "p")[1:5] == b"old1"
    assert both.report.split()[0].startswith("old1/")
    both.agree([Encryption({"new1": OLD, "old1": OLD}).report])
    assert both.sealing == "old1", "another key of that id is another key"
    both.agree(["", both.report])
    assert both.sealing == "new1", "a process without keys counts for nothing"
    both.agree([Encryption({"else": NEW}).report])
    assert both.sealing == "new1"


def refresh(encryption: Encryption) -> None:
    """Read the keys again, and wait for the thread that does."""
    encryption.refresh()
    for thread in threading.enumerate():
        if thread.name == READER:
            thread.join(10)


def test_keys_are_read_again_when_they_are_due_or_one_is_unknown() -> None:
    now, entries, read = [0.0], [make_key("old1")], []

    def reading() -> list[str]:
        read.append(now[0])
        return entries

    source = ListedKeys(tuple(entries), reading, 300, monotonic_s=lambda: now[0])
    encryption = load_keyring(source, "postgresql://h/d")
    encryption.refresh()
    assert read == []
    entries.insert(0, make_key("new1"))
    now[0] = 301
    refresh(encryption)
    assert (read, encryption.key_ids, encryption.sealing) == ([301.0], ("new1", "old1"), "old1")
    entries.insert(0, make_key("next"))
    other = load_keyring(entries, "postgresql://h/d")
    blob = other.encrypt("x", "t", "1", "p")
    with pytest.raises(DecryptionFailed, match=r"not in \[security\] keys"):
        encryption.decrypt(blob, "t", "1", "p")
    now[0] = 340
    assert encryption.decrypt(blob, "t", "1", "p") == b"x"
    assert read == [301.0, 340.0]
    entries[:] = ["broken"]
    now[0] = 1_000
    refresh(encryption)
    assert encryption.decrypt(blob, "t", "1", "p") == b"x", "what cannot be read changes nothing"


def test_a_key_that_is_gone_encrypts_no_more() -> None:
    entries = [make_key("old1")]
    source = ListedKeys(tuple(entries), lambda: [make_key("new1")], 1, monotonic_s=iter(range(0, 100, 10)).__next__)
    encryption = load_keyring(source, "postgresql://h/d")
    blob = encryption.encrypt("x", "t", "1", "p")
    refresh(encryption)
    assert (encryption.key_ids, encryption.sealing) == (("new1", "old1"), "new1")
    assert encryption.decrypt(blob, "t", "1", "p") == b"x", "a running process can go on with what it has"
