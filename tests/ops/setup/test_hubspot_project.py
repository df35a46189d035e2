"""The HubSpot app as a project: its scopes and subscriptions are those of the configuration, nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wanesync.core.errors import ConfigError
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.core.permissions import DEFINE_EVENTS
from wanesync.core.purchases import Sink
from wanesync.ops.setup.hubspot_project import (
    APP,
    WEBHOOKS,
    list_clicks,
    make_project,
    read_subscriptions,
    write_project,
)

FIELDS = FieldMap(DEFAULT_FIELDS)
PUBLIC = "https://sync.example.com"


def read(path: Path) -> dict[str, object]:
    config = json.loads(path.read_text())["config"]
    assert isinstance(config, dict)
    return config


def subscriptions(folder: Path) -> list[tuple[object, object, object]]:
    groups = read_subscriptions(folder)
    return [
        (entry["subscriptionType"], entry.get("propertyName"), entry["active"])
        for entries in groups.values()
        for entry in entries
    ]


def test_a_project_has_what_the_configuration_needs(tmp_path: Path) -> None:
    written = write_project(tmp_path, make_project(FIELDS, Sink.NOTE, f"{PUBLIC}/", {}))
    assert all(changed for _, changed in written)
    found = subscriptions(tmp_path)
    changes = {name for kind, name, _ in found if kind == "object.propertyChange"}
    assert changes == {
        "email", "firstname", "lastname", "phone", "company", "address", "city", "state", "zip", "country",
        "hs_language", "stripe_customer_id", "hs_additional_emails", "hs_merged_object_ids",
    }  # fmt: skip
    assert {kind for kind, name, _ in found if name is None} == {
        "object.creation", "object.deletion", "object.merge", "object.restore", "contact.privacyDeletion",
    }  # fmt: skip
    assert read(tmp_path / WEBHOOKS)["settings"] == {
        "targetUrl": f"{PUBLIC}/webhooks/hubspot",
        "maxConcurrentRequests": 10,
    }
    auth = read(tmp_path / APP)["auth"]
    assert isinstance(auth, dict)
    assert auth["type"] == "static"
    assert auth["requiredScopes"] == [
        "oauth", "crm.objects.contacts.read", "crm.objects.contacts.write", "crm.schemas.contacts.write",
    ]  # fmt: skip


def test_custom_events_need_their_scopes(tmp_path: Path) -> None:
    write_project(tmp_path, make_project(FIELDS, None, PUBLIC, {}))
    assert DEFINE_EVENTS in (tmp_path / APP).read_text()


def test_a_second_run_changes_nothing_and_keeps_a_dropped_subscription_inactive(tmp_path: Path) -> None:
    job = FieldSpec("job", ("jobtitle",), ("metadata.job",))
    write_project(tmp_path, make_project(FieldMap((*DEFAULT_FIELDS, job)), None, PUBLIC, {}))
    assert ("object.propertyChange", "jobtitle", True) in subscriptions(tmp_path)
    again = make_project(FIELDS, None, PUBLIC, read_subscriptions(tmp_path))
    assert [changed for _, changed in write_project(tmp_path, again)] == [False, False, True]
    assert ("object.propertyChange", "jobtitle", False) in subscriptions(tmp_path)
    same = make_project(FIELDS, None, PUBLIC, read_subscriptions(tmp_path))
    assert not any(changed for _, changed in write_project(tmp_path, same))


def test_a_file_of_another_kind_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / WEBHOOKS
    path.parent.mkdir(parents=True)
    path.write_text("[]")
    with pytest.raises(ConfigError, match="move it away"):
        read_subscriptions(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "src").write_text("a file")
    with pytest.raises(ConfigError, match="choose another folder"):
        write_project(tmp_path, make_project(FIELDS, None, PUBLIC, {}))


def test_the_clicks_name_the_account() -> None:
    assert "account 17" in list_clicks(Path("app"), "17")[0]
    assert list_clicks(Path("app"), "")[-1] == "wanesync doctor"
