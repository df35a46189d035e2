"""Which part needs which secret."""

from __future__ import annotations

from wanesync.config.model import SECRET_KEYS
from wanesync.config.secret_users import REQUIRED_OF, SECRETS_OF, find_users
from wanesync.core.roles import HANDLERS, WORKERS, Role


def test_every_secret_is_needed_by_some_part_and_every_part_is_listed() -> None:
    assert set().union(*SECRETS_OF.values()) == SECRET_KEYS
    assert set(SECRETS_OF) == set(Role)
    assert all(keys <= SECRETS_OF[role] for role, keys in REQUIRED_OF.items())


def test_no_part_has_the_keys_of_another_side_and_no_handler_the_database() -> None:
    assert find_users("stripe.api_key") == [Role.STRIPE_WORKER]
    assert find_users("hubspot.access_token") == [Role.HUBSPOT_WORKER]
    assert set(find_users("stripe.webhook_secret")) == {Role.STRIPE_HANDLER, Role.INTAKE}
    assert not {"database", "database_password", "security.keys"} & set().union(
        *(SECRETS_OF[role] for role in HANDLERS.values())
    )
    assert not {"stripe.webhook_secret", "hubspot.webhook_secret"} & set().union(
        *(SECRETS_OF[role] for role in WORKERS.values())
    )
