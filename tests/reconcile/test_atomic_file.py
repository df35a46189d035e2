"""A file is complete and its owner's, or it is not there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from wanesync.core.errors import ConfigError, OutputFailed
from wanesync.reconcile.atomic_file import check_place, write_atomically, write_text_atomically


def test_a_file_is_there_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    with write_atomically(path) as file:
        file.write(b"{}")
        assert not path.exists()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"{}", 0o600)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_an_older_file_stays_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("older")
    with suppress(KeyError), write_text_atomically(path) as file:
        file.write("half")
        raise KeyError
    assert path.read_text() == "older"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_line_ends_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with write_text_atomically(path) as file:
        file.write("é\r\nb\n")
    assert path.read_bytes() == "é\r\nb\n".encode()


@pytest.mark.parametrize("place", ["missing/plan.json", "."])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, place: str) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        check_place(tmp_path / place)
    with pytest.raises(ConfigError, match="cannot write"):
        write_atomically(tmp_path / place).__enter__()


def test_checking_a_place_leaves_nothing(tmp_path: Path) -> None:
    check_place(tmp_path / "plan.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.case(40)
def test_a_full_device_is_an_error_of_ours_that_names_the_way_out() -> None:
    full = Path("/dev/full")
    check_place(full)
    with pytest.raises(OutputFailed, match="cannot write /dev/full: No space left on device; make room"):
        _fill(full)


def _fill(path: Path) -> None:
    with write_text_atomically(path) as file:
        file.write("text")


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    read, write = os.pipe()
    with write_text_atomically(Path(f"/dev/fd/{write}")) as file:
        file.write("a,b\r\n")
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == "a,b\n"


@pytest.mark.parametrize("links", [0, 1, 2])
def test_an_open_file_is_written_where_it_is_and_a_link_to_it_stays(tmp_path: Path, links: int) -> None:
    # As /dev/stdout is a link to /proc/self/fd/1, which leads to a file after ">".
    output = tmp_path / "output"
    with output.open("wb") as opened:
        path = Path(f"/proc/self/fd/{opened.fileno()}")
        for number in range(links):
            link = tmp_path / f"link{number}"
            link.symlink_to(path)
            path = link
        opened.write(b"before\n")
        opened.flush()
        check_place(path)
        with write_text_atomically(path) as file:
            file.write("report\n")
        opened.write(b"after\n")
    assert output.read_text() == "before\nreport\nafter\n"
    assert path.is_symlink() == bool(links)
    assert len(list(tmp_path.iterdir())) == 1 + links


def test_a_number_of_no_open_file_is_an_error_of_ours() -> None:
    with pytest.raises(ConfigError, match="cannot write /dev/fd/987654: Bad file descriptor"):
        write_atomically(Path("/dev/fd/987654")).__enter__()
