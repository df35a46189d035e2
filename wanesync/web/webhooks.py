"""The two webhook endpoints: a 2xx is sent only after the events are durably stored (docs/correctness.md#web-door)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from anyio import CancelScope, CapacityLimiter, current_time, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from wanesync.core.errors import InvalidPayload, InvalidSignature, StaleSignature
from wanesync.core.model import Side
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.body_memory import Body, BodyMemory, NoRoom
from wanesync.web.door_test import Verdict, find_nonce
from wanesync.web.metrics import WebhookCounters
from wanesync.web.settings import IntakePort, WebSettings

logger = structlog.get_logger(__name__)

NO_ROOM = "too many bodies arrive at a time: send it again"
OWN_TROUBLE = "not stored: this service has a problem of its own, send it again"
Handler = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """A request is refused before it reaches the intake. ``closes``: its connection ends, as its body was not read."""

    def __init__(self, status: int, reason: str, outcome: Outcome, *, closes: bool = False) -> None:
        self.status, self.reason, self.outcome, self.closes = status, reason, outcome, closes
        super().__init__(reason)


class DoorTestArrived(Exception):
    """A request is a test event of ``wanesync doctor``, not a webhook."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(verdict)


class WebhookRoutes:
    """Reads a POST within its bounds and hands it to the intake, in a thread of its own pool."""

    def __init__(self, intake: IntakePort, settings: WebSettings, counts: WebhookCounters) -> None:
        self._intake, self._settings, self._counts = intake, settings, counts
        self._memory = BodyMemory(settings.max_body_bytes)
        self._limiter = CapacityLimiter(settings.threads)

    def handler(self, side: Side) -> Handler:
        """Return the endpoint of one side."""

        async def handle(request: Request) -> Response:
            stored, outcome, began_s = 0, Outcome.ACCEPTED, time.monotonic()
            try:
                stored = await self._accept(side, request)
                response: Response = JSONResponse({"stored": stored})
            except DoorTestArrived as test:
                outcome = Outcome.TEST
                response = JSONResponse({"test": test.verdict}, 200 if test.verdict is Verdict.OK else 401)
            except Refusal as refusal:
                outcome = refusal.outcome
                response = self._refuse(side, refusal.status, refusal.reason, request, closes=refusal.closes)
            except StaleSignature as error:
                # Rightly signed: if our clock is wrong, a sender that repeats it loses nothing.
                logger.warning("webhook of another time", side=side, reason=str(error))
                outcome = Outcome.CLOCK
                response = self._refuse(side, 503, str(error), request)
            except InvalidSignature as error:
                outcome = Outcome.SIGNATURE
                response = self._refuse(side, 401, str(error), request)
            except InvalidPayload as error:
                outcome = Outcome.UNREADABLE
                response = self._refuse(side, 400, str(error), request)
            except ClientDisconnect:
                outcome = Outcome.SLOW
                response = Response(status_code=400)
            except Exception as error:  # noqa: BLE001 - the sender repeats it; no error of ours may lose an event
                logger.error("webhook not stored", side=side, error=type(error).__name__)
                outcome = Outcome.UNAVAILABLE
                response = self._refuse(side, 503, OWN_TROUBLE, request)
            took_ms = (time.monotonic() - began_s) * 1000
            self._counts.count(side, response.status_code, outcome, stored, took_ms)
            return response

        return handle

    async def _accept(self, side: Side, request: Request) -> int:
        scope = CancelScope(deadline=current_time() + self._settings.body_timeout_s)
        body = self._memory.begin(scope.cancel)
        try:
            await self._read(request, body, scope)
            return await self._store(side, request, bytes(body.data))
        except NoRoom:
            raise Refusal(503, NO_ROOM, Outcome.UNAVAILABLE, closes=True) from None
        finally:
            self._memory.release(body)

    async def _store(self, side: Side, request: Request, body: bytes) -> int:
        # The signature identifies the sender and the parser the content: the content type is not checked.
        headers = _join_headers(request)
        if find_nonce(body, headers):
            test = partial(self._settings.receive_test, side, body, headers, self._url(request))
            verdict = await to_thread.run_sync(test, limiter=self._limiter)
            if verdict is not None:
                raise DoorTestArrived(verdict)
        work = partial(self._intake.accept, side, body, headers, self._url(request))
        return await to_thread.run_sync(work, limiter=self._limiter)

    async def _read(self, request: Request, body: Body, scope: CancelScope) -> None:
        """Fill ``body``, whose bytes are accounted for. Raises ``Refusal`` and ``NoRoom``."""
        limit = self._settings.max_body_bytes
        too_large = Refusal(413, f"the body is larger than {limit} bytes", Outcome.TOO_LARGE, closes=True)
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise too_large
        with scope:
            async for chunk in request.stream():
                if len(body.data) + len(chunk) > limit:
                    raise too_large
                self._memory.add(body, chunk)
            self._memory.complete(body)
            return
        if body.gave_way:
            raise NoRoom
        raise Refusal(408, "the body took too long to arrive", Outcome.SLOW, closes=True)

    def _url(self, request: Request) -> str:
        """Return the address that was signed: behind a proxy only the configuration has it."""
        if not self._settings.public_url:
            return str(request.url)
        query = request.url.query
        return self._settings.public_url.rstrip("/") + request.url.path + (f"?{query}" if query else "")

    def _client(self, request: Request) -> str:
        peer = request.client.host if request.client else ""
        return self._settings.trusted_proxies.find_client(peer, _join_headers(request))

    def _refuse(self, side: Side, status: int, reason: str, request: Request, *, closes: bool = False) -> Response:
        headers: dict[str, str] = {}
        if status == 503:
            headers["Retry-After"] = str(self._settings.retry_after_s)
        else:
            logger.warning("webhook refused", side=side, status=status, reason=reason, client=self._client(request))
        if closes:
            headers["Connection"] = "close"
        return JSONResponse({"error": reason}, status, headers)


def _join_headers(request: Request) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        # A header that was sent twice must not pass for one of its two values.
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers
