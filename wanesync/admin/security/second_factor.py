"""The second factor as a user sets it up: a picture, a first code, and codes for the day the phone is lost."""

from __future__ import annotations

from dataclasses import dataclass, field

from wanesync.admin.security import totp
from wanesync.core.operating.operators import Operator
from wanesync.ops.access.second_factor import Confirmation, prepare_factor, turn_on_factor
from wanesync.store.database import Store


@dataclass(frozen=True, slots=True)
class Prepared:
    """A secret that is not confirmed yet, as text for an app without a camera, and as the address in the picture."""

    secret: str = field(repr=False)
    address: str = field(repr=False)


def prepare(store: Store, name: str, *, renew: bool = True) -> Prepared:
    """Make a secret for a user; without ``renew`` take one that waits for its code.

    Raises NotFound; raises ConfigError where the second factor is on.
    """
    secret = prepare_factor(store, name, totp.make_secret(), renew=renew)
    return Prepared(secret, totp.make_address(secret, name))


def confirm(store: Store, operator: Operator, name: str, code: str, *, keep_session: str = "") -> list[str]:
    """Turn the second factor on by a first code; return the recovery codes, which are shown this once.

    Raises NotFound; raises ConfigError for a wrong code.
    """
    codes = totp.make_recovery_codes()
    hashes = [totp.hash_code(one) for one in codes]
    confirmation = Confirmation(lambda secret: totp.find_step(secret, code, store.now_ms(), 0), hashes, keep_session)
    turn_on_factor(store, operator, name, confirmation)
    return codes
