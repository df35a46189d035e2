"""What the web application is given: the intake behind it, and its bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from wanesync.core.model import Side
from wanesync.core.posts import Post
from wanesync.web.door_test import Verdict
from wanesync.web.proxies import NO_PROXIES, TrustedProxies

if TYPE_CHECKING:
    from wanesync.core.operating.figures import Amount, Figure
    from wanesync.web.certificate import ServerCertificate

_Prepared = TypeVar("_Prepared", bound=Post)
MAX_CONNECTIONS = 4_096
"""More connections than both senders together open."""


class IntakePort(Protocol):
    """The intake of webhooks (``sync.intake``)."""

    def accept(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> int:
        """Verify, parse and durably store one POST; return how many events were new. ``headers`` keys are lower case.

        Raises ``InvalidSignature`` and ``InvalidPayload`` for mistakes of the sender; any other error is ours.
        """
        ...


@runtime_checkable
class QuickIntakePort(Protocol[_Prepared]):
    """An intake that also takes POSTs without a thread for each of them."""

    def prepare(
        self, side: Side, body: bytes, headers: Mapping[str, str], url: str, settle: Callable[[Sequence[Post]], None]
    ) -> _Prepared | None:
        """Verify and parse one POST without a wait; None: it is for ``accept``. Raises ``InvalidPayload``."""
        ...

    def store_prepared(self, posts: Sequence[_Prepared]) -> None:
        """Have POSTs stored; returns at once.

        ``settle`` is called later, in any thread, with those whose outcomes came together.
        """
        ...


def _always_ready() -> str:
    return ""


def _no_gauges() -> Mapping[str, float]:
    return {}


def _no_test(_side: Side, _body: bytes, _headers: Mapping[str, str], _url: str) -> Verdict | None:
    return None


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Bounds and hooks of the web application.

    ``public_url``: the address webhooks are sent to, as HubSpot signs it; "" uses the request's own (loopback only).
    ``ready``: returns "" or why no webhook can be stored (blocking). ``gauges``: returns name -> value for ``/metrics``
    (blocking), a name being a Prometheus metric name with labels. ``figures``: returns all that was counted since the
    beginning (blocking). ``threads``: webhooks stored at a time.
    ``receive_test``: takes a test event of ``wanesync doctor`` (``door_test``; blocking).
    ``certificate``: of TLS; None for plain HTTP. ``metrics_address``: a listener of its own for ``/metrics`` and the
    details of ``/readyz``; ``metrics_token``: what a request for them must carry, "" for none; ``shows_metrics``: the
    listener of webhooks shows them, too, to a request with the token. ``trusted_proxies``: whose forwarding headers
    count. ``sides``: whose webhooks are taken.
    ``max_connections``: beyond so many open connections the one that has sent nothing for longest is closed.
    """

    public_url: str = ""
    max_body_bytes: int = 40 << 20
    body_timeout_s: float = 10
    retry_after_s: int = 5
    threads: int = 32
    max_connections: int = MAX_CONNECTIONS
    certificate: ServerCertificate | None = None
    metrics_address: tuple[str, int] | None = None
    metrics_token: str = field(default="", repr=False)
    shows_metrics: bool = False
    trusted_proxies: TrustedProxies = NO_PROXIES
    sides: Sequence[Side] = tuple(Side)
    ready: Callable[[], str] = _always_ready
    gauges: Callable[[], Mapping[str, float]] = _no_gauges
    figures: Callable[[], Mapping[tuple[Figure, str], Amount]] = dict
    receive_test: Callable[[Side, bytes, Mapping[str, str], str], Verdict | None] = _no_test
