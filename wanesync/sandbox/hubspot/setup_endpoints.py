"""Endpoints that a set-up is checked with: what a token may do, and the rules of a portal for its properties."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.sandbox.hubspot.access import OTHER_APP_ID
from wanesync.sandbox.hubspot.answers import Answer, Json, not_found
from wanesync.sandbox.hubspot.call import Call, as_text
from wanesync.sandbox.hubspot.portal import Portal
from wanesync.sandbox.hubspot.properties import Rule
from wanesync.sandbox.hubspot.scopes import Grants

USER_ID = 7  # of the user who installed the app


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """POST the token itself: its portal, its app and its scopes (private apps guide)."""

    grants: Grants

    def read(self, portal: Portal, call: Call) -> Answer:
        """Answer for any token of the portal; 404 for what is no token."""
        token = as_text(call.body.get("tokenKey"), "tokenKey")
        if not token.startswith("pat-"):
            raise not_found()
        app_id = int(OTHER_APP_ID) if "other" in token else portal.settings.app_id
        scopes = sorted(self.grants.scopes_of(token))
        return Answer(
            200, {"userId": USER_ID, "hubId": portal.settings.portal_id, "appId": app_id, "scopes": list(scopes)}
        )


def list_rules(portal: Portal, _call: Call) -> Answer:
    """GET the validation rules of all properties of contacts; one that is required at creation is not among them."""
    results: list[object] = [
        {"propertyName": item.name, "propertyValidationRules": rules}
        for item in portal.properties.by_name.values()
        if item.rule is not None and not item.archived and (rules := _show(item.rule))
    ]
    return Answer(200, {"results": results})


def _show(rule: Rule) -> list[Json]:
    arguments: dict[str, object] = {
        "REGEX": rule.pattern or None,
        "MIN_LENGTH": rule.min_length or None,
        "MAX_LENGTH": rule.max_length,
        "MIN_NUMBER": rule.minimum,
        "MAX_NUMBER": rule.maximum,
    }
    return [
        {"ruleType": kind, "ruleArguments": [str(value)], "shouldApplyNormalization": False}
        for kind, value in arguments.items()
        if value is not None
    ]
