"""The file of a run: which run continues it, who may read it, and that nothing of it is left."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from wanesync.core.diff.difference import Difference, DifferenceClass
from wanesync.core.diff.ranges import ListingRange
from wanesync.core.errors import ConfigError, DecryptionFailed
from wanesync.core.model import Record, Side
from wanesync.reconcile.snapshot.codec import ChangedRecord
from wanesync.reconcile.snapshot.file import ListedRow, Snapshot
from wanesync.store.encryption import Encryption

ENCRYPTION = Encryption({"test": bytes(32)}, bytes(32))
IDENTITY = {"portal": "1", "fields": "a"}
ADDRESS = "ana@example.com"
HALF = "ab" * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.snapshot"


def begin(path: Path, began_ms: int = 1000) -> Snapshot:
    snapshot = Snapshot.resume(str(path), ENCRYPTION, IDENTITY, 0)
    snapshot.put_metadata({"began_ms": str(began_ms)})
    snapshot.put_rows(Side.HUBSPOT, [row("7")])
    snapshot.put_spans(Side.HUBSPOT, [ListingRange(0, 0, 9, "7", 7)])
    return snapshot


def row(record_id: str) -> ListedRow:
    record = Record(Side.HUBSPOT, record_id, {"email": ADDRESS}, frozenset({ADDRESS}))
    return ListedRow(record_id, HALF, HALF, "", frozenset({ENCRYPTION.hmac(ADDRESS)}), ChangedRecord(record, 3, 5, 6))


def conflict(contact_id: str, note: str = "") -> Difference:
    return Difference(DifferenceClass.CONFLICT, contact_id, "", note=note, key=f"contact:{contact_id}")


def resume(path: Path, *, oldest_ms: int = 0, **identity: str) -> Snapshot:
    return Snapshot.resume(str(path), ENCRYPTION, IDENTITY | identity, oldest_ms)


def beside(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


def test_an_interrupted_run_is_continued(path: Path) -> None:
    begin(path).close()
    with closing(resume(path)) as again:
        assert again.spans(Side.HUBSPOT) == [ListingRange(0, 0, 9, "7", 7)]
        assert again.changed_after(Side.HUBSPOT, "", 10)["7"] == row("7").changed


def test_a_killed_run_is_continued(path: Path) -> None:
    killed = begin(path)
    with closing(resume(path)) as again:
        assert again.count(Side.HUBSPOT) == 1
    killed.close()


@pytest.mark.parametrize("changed", [{"portal": "2"}, {"fields": "b"}, {"since": "5"}])
def test_no_other_run_continues_it(path: Path, changed: dict[str, str]) -> None:
    begin(path).close()
    with closing(Snapshot.resume(str(path), ENCRYPTION, IDENTITY | changed, 0)) as other:
        assert (other.count(Side.HUBSPOT), other.spans(Side.HUBSPOT)) == (0, [])


def test_too_old_it_begins_again(path: Path) -> None:
    begin(path, began_ms=1000).close()
    with closing(resume(path, oldest_ms=1000)) as again:
        assert again.count(Side.HUBSPOT) == 1
    with closing(resume(path, oldest_ms=1001)) as anew:
        assert anew.count(Side.HUBSPOT) == 0


def test_a_complete_one_is_not_continued(path: Path) -> None:
    with closing(resume(path, complete="")) as first:
        first.put_rows(Side.HUBSPOT, [row("7")])
        first.put_metadata({"began_ms": "1000", "complete": "yes"})
    with closing(resume(path, complete="")) as anew:
        assert anew.count(Side.HUBSPOT) == 0


@pytest.mark.parametrize("where", [100, 4096, -4096])
def test_a_damaged_one_begins_again(path: Path, where: int) -> None:
    first = begin(path)
    first.put_rows(Side.HUBSPOT, [row(str(n)) for n in range(200)])
    first.close()
    data = bytearray(path.read_bytes())
    at = where % len(data)
    data[at : at + 4096] = b"\xff" * len(data[at : at + 4096])
    path.write_bytes(data)
    with closing(resume(path)) as anew:
        assert anew.count(Side.HUBSPOT) == 0
        anew.put_rows(Side.HUBSPOT, [row("8")])


def test_a_cut_one_begins_again(path: Path) -> None:
    begin(path).close()
    path.write_bytes(path.read_bytes()[:5000])
    with closing(resume(path)) as anew:
        assert anew.count(Side.HUBSPOT) == 0


@pytest.mark.parametrize("content", [b"my notes\n" * 30, b"x"], ids=["text", "short"])
def test_another_file_is_never_overwritten(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="no snapshot"):
        resume(path)
    assert path.read_bytes() == content


def test_another_database_is_never_overwritten(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE about (name TEXT, value TEXT)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="no snapshot"):
        resume(path)
    assert path.read_bytes() == before


def test_an_empty_file_is_taken(path: Path) -> None:
    path.touch()
    with closing(resume(path)) as made:
        assert made.metadata() == IDENTITY


def test_only_its_owner_may_read_it(path: Path) -> None:
    path.touch(mode=0o644)
    with closing(begin(path)):
        assert {p.name: p.stat().st_mode & 0o777 for p in path.parent.iterdir()} == dict.fromkeys(beside(path), 0o600)
        assert len(beside(path)) == 3, "the file and what SQLite keeps beside it"


def test_erased_nothing_of_it_is_left(path: Path) -> None:
    snapshot = begin(path)
    link = path.with_name("another name of the same file")
    link.hardlink_to(path)
    snapshot.erase()
    assert beside(path) == [link.name]
    assert link.stat().st_size
    assert not any(link.read_bytes()), "it was overwritten before"


def test_what_a_killed_run_left_beside_it_is_removed_too(path: Path) -> None:
    killed = begin(path)
    assert beside(path) == [path.name, f"{path.name}-shm", f"{path.name}-wal"]
    resume(path, portal="2").erase()
    assert beside(path) == []
    killed.close()


def test_nothing_personal_can_be_read_in_it(path: Path) -> None:
    snapshot = begin(path)
    snapshot.put_differences([conflict("1", ADDRESS)])
    snapshot.close()
    assert ADDRESS.encode() not in path.read_bytes()


def test_a_copy_cannot_be_given_another_id(path: Path) -> None:
    with closing(begin(path)) as snapshot:
        snapshot.execute("UPDATE listed SET id = '8' WHERE id = '7'")
        with pytest.raises(DecryptionFailed, match="altered or moved"):
            snapshot.changed_after(Side.HUBSPOT, "", 10)
        snapshot.execute("UPDATE listed SET id = '7', side = 1")
        with pytest.raises(DecryptionFailed, match="altered or moved"):
            snapshot.changed_of(Side.STRIPE, ["7"])


def test_results_come_in_order_page_by_page_while_others_are_put(path: Path) -> None:
    with closing(begin(path)) as snapshot:
        kinds = DifferenceClass.EXCLUDED, DifferenceClass.CONFLICT
        many = [Difference(kinds[n % 2], str(n), "", key=f"contact:{n}") for n in range(2500)]
        snapshot.put_differences(many)
        snapshot.put_jobs([(f"contact:{n}", "stripe", "") for n in range(2500)])
        found = snapshot.differences()
        first = next(found)
        late = conflict("1", "late")
        snapshot.put_differences([late])
        assert [first, *found] == [*many, late]
        assert list(snapshot.differences(DifferenceClass.EXCLUDED, 3)) == [many[0], many[2], many[4]]
        assert list(snapshot.differences(DifferenceClass.EXCLUDED, 0)) == []
        assert snapshot.differences_of("contact:1") == [many[1], late]
        assert (snapshot.job_classes_of("contact:1"), snapshot.job_classes_of("contact:9999")) == ({""}, set())
        assert [key for key, _, _ in snapshot.jobs()] == [f"contact:{n}" for n in range(2500)]
        assert {lane for _, lane, _ in snapshot.jobs()} == {Side.STRIPE}


def test_what_a_killed_comparison_left_is_forgotten_and_the_listing_is_not(path: Path) -> None:
    snapshot = begin(path)
    snapshot.put_differences([conflict("1")])
    snapshot.put_jobs([("contact:1", "stripe", "")])
    snapshot.put_unlisted(Side.STRIPE, ["cus_1"])
    snapshot.plan_records(Side.HUBSPOT, ["7"])
    snapshot.close()
    with closing(resume(path)) as again:
        results = again.differences(), again.jobs(), again.unlisted(), again.keys_to_plan()
        assert [list(result) for result in results] == [[], [], [], []]
        assert again.count(Side.HUBSPOT) == 1


def test_a_page_is_kept_whole_or_not_at_all(path: Path) -> None:
    with closing(begin(path)) as snapshot:
        with suppress(KeyError), snapshot.transaction():
            snapshot.put_rows(Side.HUBSPOT, [row("8")])
            raise KeyError
        assert snapshot.count(Side.HUBSPOT) == 1
