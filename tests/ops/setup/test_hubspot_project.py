"""The HubSpot app as a project: its scopes and subscriptions are those of the configuration, nothing else."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest

from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.core.errors import ConfigError
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.core.purchases import Sink
from wanesync.core.setup.permissions import DEFINE_EVENTS
from wanesync.ops.setup.hubspot_project import (
    APP,
    WEBHOOKS,
    list_clicks,
    list_properties,
    make_project,
    make_subscriptions,
    read_subscriptions,
    write_project,
)

TEMPLATE = "webhooks-hsmeta.json"
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
    for sink, member in ((Sink.CUSTOM_EVENT, "requiredScopes"), (None, "optionalScopes")):
        write_project(tmp_path, make_project(FIELDS, sink, PUBLIC, {}))
        auth = read(tmp_path / APP)["auth"]
        assert isinstance(auth, dict)
        assert DEFINE_EVENTS in auth[member]


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
    assert "account 17" in list_clicks(Path("app"), "17", {})[0]
    clicks = list_clicks(Path("app"), "", {"access_token": "secrets/token (mode 0600)"})
    assert "the access token into secrets/token (mode 0600), the client secret into hubspot.webhook_secret" in clicks[3]
    assert clicks[-1] == "wanesync doctor"


def test_the_shipped_template_is_that_of_the_default_field_map() -> None:
    template = json.loads(resources.files("wanesync.adapters.hubspot").joinpath(TEMPLATE).read_text())
    wanted = {group: entries for group, entries in make_subscriptions(FIELDS).items() if entries}
    assert template["config"]["subscriptions"] == wanted
    assert template["config"]["settings"]["targetUrl"].endswith("/webhooks/hubspot")


def test_every_subscription_is_one_that_the_door_reads(tmp_path: Path) -> None:
    parser = HubSpotWebhooks(FIELDS, "7", key=b"k")
    element = {"portalId": 7, "objectId": 5, "occurredAt": 1, "objectTypeId": "0-1", "propertyValue": "x"}
    entries = [entry for group in make_subscriptions(FIELDS).values() for entry in group]
    for entry in entries:
        body = {**element, "subscriptionType": entry["subscriptionType"], "propertyName": entry.get("propertyName")}
        assert len(parser.parse(json.dumps([body]).encode(), 1).events) == 1, entry


def test_the_readme_names_every_property_that_needs_a_subscription() -> None:
    text = " ".join((Path(__file__).parents[3] / "README.md").read_text().split())
    [listed] = re.findall(r"`([a-z_ ]+)` and `(stripe_customer_id [a-z_ ]+)`", text)
    assert " ".join(listed).split() == list_properties(FIELDS)
