"""The parts of a deployment: what their names are used for."""

from __future__ import annotations

import re

from wanesync.core.roles import BUS_ROLES, HANDLERS, WORKERS, Role


def test_a_role_is_a_name_that_a_unix_user_can_have() -> None:
    assert all(re.fullmatch(r"[a-z][a-z-]*[a-z]", f"wanesync-{role}") for role in Role)
    assert all(len(f"wanesync-{role}") <= 32 for role in Role)


def test_each_side_has_a_handler_and_a_worker_and_only_parts_of_the_bus_have_a_credential_of_it() -> None:
    assert set(BUS_ROLES) == {*HANDLERS.values(), *WORKERS.values(), Role.QUEUE, Role.ADMIN}
    assert {role.split("-")[0] for role in (*HANDLERS.values(), *WORKERS.values())} == {"hubspot", "stripe"}
