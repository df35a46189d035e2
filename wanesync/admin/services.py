"""What the pages and the API are given: the database, the configuration, and what needs wiring."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from wanesync.admin.security.passwords import Passwords
from wanesync.config.model import Config
from wanesync.core.operating.operators import OperatorRole
from wanesync.core.plan import Rules
from wanesync.ops.access.logins import SessionLimits
from wanesync.ops.alerts.desk import AlertDesk, make_desk
from wanesync.ops.field_map import make_rules
from wanesync.ops.people.decisions import DecisionDesk
from wanesync.ops.reconcile.processes import ReconcileProcesses
from wanesync.store.database import Store
from wanesync.web.proxies import NO_PROXIES, TrustedProxies


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """How operators reach the service.

    ``secure``: browsers come over TLS. ``hosts``: names under which it is reached, in lower case; empty for any.
    ``proxies``: whose headers count. ``sign_on_header``: of single sign-on, "" without; ``sign_on_role``: of a user
    without an entry, None to refuse such a one.
    """

    secure: bool = False
    hosts: frozenset[str] = frozenset()
    limits: SessionLimits = field(default_factory=SessionLimits)
    proxies: TrustedProxies = NO_PROXIES
    sign_on_header: str = ""
    sign_on_role: OperatorRole | None = None


@dataclass(frozen=True, slots=True)
class AdminServices:
    """Everything a page may use. Times are database times: ``store.now_ms()``.

    ``decisions``: carries out what an operator decides about people. ``rules``: what the configuration says about
    planning.
    ``reconciles``: starts the processes of reconcile runs; None where this process cannot.
    ``alert_desk``: sends tests of notices; None where nothing is wired, so that every test fails.
    """

    store: Store
    config: Config
    access: AccessSettings = AccessSettings()
    passwords: Passwords = field(default_factory=Passwords)
    decisions: DecisionDesk = field(default_factory=DecisionDesk)
    reconciles: ReconcileProcesses | None = None
    alert_desk: AlertDesk | None = None
    rules: Rules = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the rules of the configuration."""
        object.__setattr__(self, "rules", make_rules(self.config))

    @property
    def alerts(self) -> AlertDesk:
        """What shows and steers alerts."""
        return self.alert_desk or make_desk(self.store, self.config)


async def find_services(request: Request) -> AdminServices:
    """Return the services of the application that a request came to."""
    services: AdminServices = request.app.state.services
    return services


Services = Annotated[AdminServices, Depends(find_services)]
"""The type of a parameter of a route: ``def show(services: Services) -> …``."""
