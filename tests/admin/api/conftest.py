"""Callers of the API: ``call("operator").get("/status")``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from tests.support.admin import URL, AdminSite
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.tokens import create_token

Caller = Callable[[OperatorRole | str], TestClient]


@pytest.fixture
def call(admin: AdminSite) -> Caller:
    """Returns a client with a new token of a role; its paths stand below ``/api/v1``."""

    def make_client(role: OperatorRole | str) -> TestClient:
        _, token = create_token(admin.store, SYSTEM, f"{role}-token", OperatorRole(role), 1)
        headers = {"Authorization": f"Bearer {token}"}
        return TestClient(admin.app, f"{URL}/api/v1", headers=headers, follow_redirects=False)

    return make_client
