"""References become values, and no message ever shows one."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanesync.config.references import MAX_FILE_BYTES, is_reference, resolve
from wanesync.core.errors import ConfigError

PLANTED = "sk_test_planted"


def place(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refusal(reference: str, folder: Path, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(reference, env or {}, folder, private=True)
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_a_plain_value_stays(tmp_path: Path) -> None:
    assert resolve("postgresql://host/name", {}, tmp_path, private=True) == "postgresql://host/name"
    assert not is_reference("sk_test_env:X")


def test_from_the_environment(tmp_path: Path) -> None:
    assert resolve("env:KEY", {"KEY": f"{PLANTED}\n"}, tmp_path, private=True) == PLANTED


def test_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    path = place(tmp_path, f"{PLANTED}\n".encode())
    assert resolve("file:key", {}, tmp_path, private=True) == PLANTED
    assert resolve(f"file:{path}", {}, Path("elsewhere"), private=True) == PLANTED


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_secret_file_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = place(tmp_path, PLANTED.encode(), mode)
    message = refusal("file:key", tmp_path)
    assert f"chmod 600 {path}" in message
    assert PLANTED not in message
    assert resolve("file:key", {}, tmp_path, private=False) == PLANTED


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b" \n", "is empty"), (b"\xff" + PLANTED.encode(), "not UTF-8"), (b"x" * (MAX_FILE_BYTES + 1), "larger than")],
)
def test_unusable_content_is_named_not_shown(tmp_path: Path, content: bytes, expected: str) -> None:
    place(tmp_path, content)
    with pytest.raises(ConfigError, match=expected) as caught:
        resolve("file:key", {}, tmp_path, private=True)
    assert PLANTED not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    assert "export KEY" in refusal("env:KEY", tmp_path)
    assert "env:KEY is empty" in refusal("env:KEY", tmp_path, {"KEY": ""})
    assert "cannot be read (No such file or directory)" in refusal("file:key", tmp_path)
    assert "cannot be read (Is a directory)" in refusal("file:.", tmp_path)
