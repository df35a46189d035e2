"""The secrets of a running process can be read again, and a bad answer never replaces a good value."""

from __future__ import annotations

import threading
from pathlib import Path

from wanesync.config.model import Config, load

TOML = """
[create]
customers = "none"
contacts = "none"
[hubspot]
webhook_secret = ["file:new", "literal-old"]
[stripe]
api_key = "file:key"
webhook_secret = "env:HOOK"
"""


def put(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)


def loaded(folder: Path) -> Config:
    put(folder, "wanesync.toml", TOML)
    put(folder, "new", "hook-one\n")
    put(folder, "key", "sk_test_one\n")
    return load(folder / "wanesync.toml", {"HOOK": "whsec_env"})


def test_the_values_are_those_of_the_configuration(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    source = config.secret_source
    assert source.current("stripe.api_key") == ("sk_test_one",)
    assert (
        list(source.current("hubspot.webhook_secret")) == config.hubspot.webhook_secrets == ["hook-one", "literal-old"]
    )
    assert source.current("hubspot.access_token") == ()
    assert source.is_renewable("stripe.api_key")
    assert not source.is_renewable("stripe.webhook_secret")
    assert "sk_test_one" not in repr(config) + repr(source)


def test_what_changed_is_read_again(tmp_path: Path) -> None:
    source = loaded(tmp_path).secret_source
    assert source.refresh() == frozenset()
    put(tmp_path, "key", "sk_test_two")
    put(tmp_path, "new", '["hook-three", "hook-two"]')
    assert source.refresh(["hubspot.webhook_secret"]) == {"hubspot.webhook_secret"}
    assert source.current("stripe.api_key") == ("sk_test_one",)
    assert source.refresh() == {"stripe.api_key"}
    assert source.current("stripe.api_key") == ("sk_test_two",)
    assert source.current("hubspot.webhook_secret") == ("hook-three", "hook-two", "literal-old")


def test_a_secret_that_cannot_be_read_again_keeps_its_value_and_is_named(tmp_path: Path) -> None:
    source = loaded(tmp_path).secret_source
    for text, named in (("", "is empty"), ("pk_test_planted", "must be a secret or restricted key"), ("a b", "blank")):
        put(tmp_path, "key", text)
        assert source.refresh() == frozenset()
        assert named in source.troubles["stripe.api_key"]
        assert "planted" not in source.troubles["stripe.api_key"]
        assert source.current("stripe.api_key") == ("sk_test_one",)
    (tmp_path / "key").unlink()
    source.refresh()
    assert "No such file" in source.troubles["stripe.api_key"]
    put(tmp_path, "key", "sk_test_one")
    assert source.refresh() == frozenset()
    assert source.troubles == {}


def test_a_manager_that_does_not_answer_holds_up_no_other_secret(tmp_path: Path) -> None:
    source = loaded(tmp_path).secret_source
    asked, answer, look_up = threading.Event(), threading.Event(), source.look_up

    def wait_for_one(key: str, text: str) -> list[str]:
        if key == "hubspot.webhook_secret":
            asked.set()
            answer.wait(20)
        return look_up(key, text)

    source.look_up = wait_for_one
    slow = threading.Thread(target=source.refresh, args=(["hubspot.webhook_secret"],))
    slow.start()
    asked.wait(20)
    put(tmp_path, "key", "sk_test_two")
    assert source.refresh(["stripe.api_key"]) == {"stripe.api_key"}
    answer.set()
    slow.join()
