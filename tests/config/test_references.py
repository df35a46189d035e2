"""References become values, and no message ever shows one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wanesync.config import references
from wanesync.config.references import MAX_FILE_BYTES, find_foreign, is_reference, resolve
from wanesync.core.errors import ConfigError
from wanesync.core.setup.private_files import find_exposure

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


@pytest.mark.case(33)
@pytest.mark.parametrize("mode", [0o440, 0o640, 0o400])
def test_a_secret_file_that_a_group_of_this_process_may_read_is_accepted(tmp_path: Path, mode: int) -> None:
    place(tmp_path, PLANTED.encode(), mode)
    assert resolve("file:key", {}, tmp_path, private=True) == PLANTED


def test_a_secret_file_that_another_group_may_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path, PLANTED.encode(), 0o640)
    monkeypatch.setattr(os, "getegid", lambda: 54_321)
    monkeypatch.setattr(os, "getgroups", lambda: [54_322])
    assert "640 if its group is one of this process's" in refusal("file:key", tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        "ssm:/prod/hubspot",
        "op://vault/hubspot/token",
        "arn:aws:secretsmanager:eu-west-1:1:secret:x",
        "gcp+sm:projects/x",
        "ENV:HUBSPOT",
        "${HUBSPOT_TOKEN}",
        "$HUBSPOT_TOKEN",
        "{{ hubspot }}",
        "<token>",
        "!secret hubspot",
        "%HUBSPOT%",
        "/run/secrets/hubspot",
        "./hubspot.key",
        "~/hubspot.key",
    ],
)
def test_a_reference_that_is_resolved_elsewhere_is_no_secret(value: str) -> None:
    assert "give one of env: file: cmd: aws-sm: gcp-sm: azure-kv: vault: or the value itself" in find_foreign(value)


@pytest.mark.parametrize("value", ["pat-na1-0a1b", "sk_test_x", "whsec_x", "CKfP7_4uMR.IQAA==", "0a1b2c3d-4e5f"])
def test_a_key_is_no_reference(value: str) -> None:
    assert find_foreign(value) == ""


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o660, 0o666, 0o644, 0o444, 0o610])
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


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    assert "is a device or a pipe" in refusal("file:key", tmp_path)


def test_only_line_ends_at_the_end_are_no_part_of_a_secret(tmp_path: Path) -> None:
    place(tmp_path, f" {PLANTED} \r\n\n".encode())
    assert resolve("file:key", {}, tmp_path, private=True) == f" {PLANTED} "


class TestForeignFiles:
    """Files and links of other users: what they may put there is no secret of this process."""

    pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")

    def test_a_file_of_another_user_is_refused(self, tmp_path: Path) -> None:
        os.chown(place(tmp_path, PLANTED.encode()), 54_321, 54_321)
        assert "belongs to user 54321, not to this process's user (0) or root: chown 0 " in refusal(
            "file:key", tmp_path
        )

    def test_a_file_of_root_is_accepted_by_another_user(self) -> None:
        found = os.stat_result((0o100440, 0, 0, 1, 0, 4_000, 1, 0, 0, 0))
        assert find_exposure("key", found, 1_000, {1_000, 4_000}) == ""
        assert find_exposure("key", found, 1_000, {1_000}).startswith("can be read by others")

    @pytest.mark.parametrize(("owner", "accepted"), [(0, True), (54_321, False)])
    def test_a_link_leads_to_a_file_of_this_user_only(self, tmp_path: Path, owner: int, accepted: bool) -> None:
        target = tmp_path / "target"
        place(tmp_path, PLANTED.encode()).rename(target)
        (tmp_path / "key").symlink_to(target)
        os.chown(target, owner, 0)
        if accepted:
            assert resolve("file:key", {}, tmp_path, private=True) == PLANTED
        else:
            assert "belongs to user 54321" in refusal("file:key", tmp_path)

    def test_a_link_of_another_user_is_refused(self, tmp_path: Path) -> None:
        place(tmp_path, PLANTED.encode()).rename(tmp_path / "target")
        (tmp_path / "key").symlink_to(tmp_path / "target")
        os.chown(tmp_path / "key", 54_321, 54_321, follow_symlinks=False)
        assert "is a link of user 54321, who could lead it to any file: name the file itself" in refusal(
            "file:key", tmp_path
        )


class TestMountedSecrets:
    """What a container runtime mounts for one container: readable by all users in it, and of any owner."""

    @pytest.fixture(autouse=True)
    def mount(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "run" / "secrets"
        folder.mkdir(parents=True)
        monkeypatch.setattr(references, "MOUNTS", (folder,))
        return folder

    def test_all_may_read_it(self, mount: Path) -> None:
        os.chown(place(mount, PLANTED.encode(), 0o444), 54_321 if os.geteuid() == 0 else -1, -1)
        assert resolve("file:key", {}, mount, private=True) == PLANTED

    def test_others_may_not_write_it(self, mount: Path) -> None:
        place(mount, PLANTED.encode(), 0o446)
        assert "can be written by others" in refusal("file:key", mount)

    def test_a_link_out_of_it_is_as_any_other_file(self, mount: Path, tmp_path: Path) -> None:
        place(tmp_path, PLANTED.encode(), 0o444)
        (mount / "key").symlink_to(tmp_path / "key")
        assert "can be read by others" in refusal("file:key", mount)
        assert "can be read by others" in refusal("file:../../key", mount)
