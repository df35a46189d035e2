"""The section ``[admin]``: where the admin service listens, how long a session lasts, and who may come in."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from wanesync.config.value_types import Address, FilePath, ListeningHost, NetworkAddress, Section, as_tuple
from wanesync.core.operating.operators import OperatorRole

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]


class Admin(Section):
    """The admin service. ``in_up``: ``wanesync up`` runs it, too, where the extra is installed.

    ``public_url``: its address as browsers see it; None: any name under which it is reached on this machine.
    ``idle_minutes``, ``session_hours``: when a session ends without and in spite of use. ``approval``: a reconcile
    takes a second operator. ``single_sign_on_header``: the header in which a trusted proxy names the user it has signed
    in; ``single_sign_on_role``: of a user who is named there and has no entry here, None: such a one is refused.
    """

    host: ListeningHost = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8900
    in_up: bool = True
    public_url: Address | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None
    behind_proxy: bool = False
    trusted_proxies: Annotated[tuple[NetworkAddress, ...], BeforeValidator(as_tuple)] = ()
    idle_minutes: Annotated[int, Field(ge=1, le=720)] = 30
    session_hours: Annotated[int, Field(ge=1, le=24)] = 12
    approval: bool = False
    single_sign_on_header: HeaderName | None = None
    single_sign_on_role: OperatorRole | None = None

    @model_validator(mode="after")
    def _check_pairs(self) -> Admin:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key must be given both or neither")
        if self.single_sign_on_header and not self.trusted_proxies:
            raise ValueError(
                "single_sign_on_header needs trusted_proxies: from any other machine the header is a claim"
            )
        if self.single_sign_on_header and not self.public_url:
            raise ValueError(
                "single_sign_on_header needs public_url: under any other name another site could lead a browser on the "
                "proxy's machine here, whose header would count"
            )
        if self.single_sign_on_role and not self.single_sign_on_header:
            raise ValueError("single_sign_on_role needs single_sign_on_header")
        return self
