"""Key files: read, created, replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanesync.core.errors import ConfigError
from wanesync.store import make_key
from wanesync.store.key_source import FileKeys, create_key_file, read_entries, replace_key_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "wanesync.keys"
    create_key_file(made, make_key("old1"))
    return made


def test_a_replaced_file_is_due(path: Path) -> None:
    source = FileKeys(path)
    assert [*source.read()] == ["old1"]
    assert not source.is_due(urgent=True)
    replace_key_file(path, [make_key("new1"), *read_entries(path)])
    assert source.is_due(urgent=False)
    assert [*source.read()] == ["new1", "old1"]
    assert not source.is_due(urgent=True)
    path.unlink()
    assert source.is_due(urgent=False)
    with pytest.raises(ConfigError, match="is missing"):
        source.read()


def test_a_replaced_file_keeps_its_mode_and_leaves_no_other(path: Path) -> None:
    path.chmod(0o640)
    replace_key_file(path, ["# of the group too", make_key("new1")])
    assert path.stat().st_mode & 0o777 == 0o640
    assert len(read_entries(path)) == 1
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"abcd\n", b"\xff\xfe", b"old1:AAAA\n"])
def test_a_file_without_usable_keys_is_refused_without_showing_it(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        FileKeys(path).read()
    assert "AAAA" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        FileKeys(path).read()
