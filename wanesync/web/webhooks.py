"""The two webhook endpoints: a 2xx is sent only after the events are durably stored (docs/correctness.md#web-door).

ASGI without a framework, because a POST of one event costs less than what a framework does for it. A small POST that a
known secret signed is parsed on the event loop, and those of one turn of the loop are handed to the intake together;
every other one is handled in a thread of a pool.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import orjson
import structlog
from anyio import CapacityLimiter, to_thread
from starlette.types import Receive, Scope, Send

from wanesync.core.errors import InvalidPayload, InvalidSignature, StaleSignature, WanesyncError
from wanesync.core.model import Side
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.body_memory import Body, BodyMemory, NoRoom
from wanesync.web.door_test import Verdict, find_nonce
from wanesync.web.metrics import WebhookCounters
from wanesync.web.settings import IntakePort, QuickIntakePort, WebSettings
from wanesync.web.whole_posts import RawHeaders, SendAnswer

if TYPE_CHECKING:
    from wanesync.core.posts import Post

logger = structlog.get_logger(__name__)

NO_ROOM = "too many bodies arrive at a time: send it again"
OWN_TROUBLE = "not stored: this service has a problem of its own, send it again"
MAX_QUICK_BYTES = 1 << 14
"""A larger body is parsed in a thread (our choice): 16 kB of it take about 1 ms, and others wait meanwhile."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_HEADERS = [
    (b"content-type", b"application/json"),
    *((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
]

_HEADER_LINES = b"".join(b"%s: %s\r\n" % pair for pair in _HEADERS)

Headers = dict[str, str]


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


class ClientGone(Exception):
    """The connection ended before the body did."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a webhook: its status, JSON body and further headers. ``stored``: events that were new.

    ``counted``: it was counted already.
    """

    status: int
    content: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)
    stored: int = 0
    counted: bool = False


class WebhookRoutes:
    """Reads a POST within its bounds, hands it to the intake and answers when it is stored."""

    def __init__(self, intake: IntakePort, settings: WebSettings, counts: WebhookCounters) -> None:
        self._intake, self._settings, self._counts = intake, settings, counts
        self._quick: QuickIntakePort[Post] | None = intake if isinstance(intake, QuickIntakePort) else None
        self._memory = BodyMemory(settings.max_body_bytes)
        self._limiter = CapacityLimiter(settings.threads)
        self._turns: _Turns | None = None

    async def serve(self, side: Side, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one POST of a side."""
        outcome, began_s = Outcome.ACCEPTED, time.monotonic()
        headers = _join_headers(scope["headers"])
        try:
            answer = await self._accept(side, scope, headers, receive, began_s)
        except DoorTestArrived as test:
            outcome = Outcome.TEST
            answer = Answer(200 if test.verdict is Verdict.OK else 401, {"test": test.verdict})
        except Refusal as refusal:
            outcome = refusal.outcome
            answer = self._refuse(side, refusal.status, refusal.reason, scope, headers, closes=refusal.closes)
        except StaleSignature as error:
            # Rightly signed: if our clock is wrong, a sender that repeats it loses nothing.
            logger.warning("webhook of another time", side=side, reason=str(error))
            outcome = Outcome.CLOCK
            answer = self._refuse(side, 503, str(error), scope, headers)
        except InvalidSignature as error:
            outcome = Outcome.SIGNATURE
            answer = self._refuse(side, 401, str(error), scope, headers)
        except InvalidPayload as error:
            outcome = Outcome.UNREADABLE
            answer = self._refuse(side, 400, str(error), scope, headers)
        except ClientGone:
            outcome = Outcome.SLOW
            answer = Answer(400, {})
        except Exception as error:  # noqa: BLE001 - the sender repeats it; no error of ours may lose an event
            outcome = Outcome.UNAVAILABLE
            answer = self._explain(side, error)
        if not answer.counted:
            self._counts.count(side, answer.status, outcome, answer.stored, (time.monotonic() - began_s) * 1000)
        await send_answer(send, answer)

    async def _accept(self, side: Side, scope: Scope, headers: Headers, receive: Receive, began_s: float) -> Answer:
        limit = asyncio.timeout(self._settings.body_timeout_s)
        body = self._memory.begin(lambda: limit.reschedule(0))
        try:
            await self._read(headers, receive, body, limit)
            return await self._store(side, bytes(body.data), headers, self._find_url(scope, headers), began_s)
        except NoRoom:
            raise Refusal(503, NO_ROOM, Outcome.UNAVAILABLE, closes=True) from None
        finally:
            self._memory.release(body)

    async def _read(self, headers: Headers, receive: Receive, body: Body, limit: asyncio.Timeout) -> None:
        """Fill ``body``, whose bytes are accounted for. Raises ``Refusal``, ``NoRoom`` and ``ClientGone``."""
        max_bytes = self._settings.max_body_bytes
        too_large = f"the body is larger than {max_bytes} bytes"
        announced = headers.get("content-length", "")
        if announced.isdigit() and int(announced) > max_bytes:
            raise Refusal(413, too_large, Outcome.TOO_LARGE, closes=True)
        try:
            async with limit:
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    chunk = message.get("body", b"")
                    if len(body.data) + len(chunk) > max_bytes:
                        raise Refusal(413, too_large, Outcome.TOO_LARGE, closes=True)
                    self._memory.add(body, chunk)
                    more = message.get("more_body", False)
        except TimeoutError:
            if body.gave_way:
                raise NoRoom from None
            raise Refusal(408, "the body took too long to arrive", Outcome.SLOW, closes=True) from None
        self._memory.complete(body)

    async def _store(self, side: Side, body: bytes, headers: Headers, url: str, began_s: float) -> Answer:
        # The signature identifies the sender and the parser the content: the content type is not checked.
        if find_nonce(body, headers):
            test = partial(self._settings.receive_test, side, body, headers, url)
            verdict = await to_thread.run_sync(test, limiter=self._limiter)
            if verdict is not None:
                raise DoorTestArrived(verdict)
        elif self._quick is not None and len(body) <= MAX_QUICK_BYTES:
            turns = self._find_turns(self._quick)
            post = self._quick.prepare(side, body, headers, url, turns.settle)
            if post is not None:
                await turns.wait_for(post, began_s)
                return Answer(200, {"stored": post.new}, counted=True)
        work = partial(self._intake.accept, side, body, headers, url)
        stored = await to_thread.run_sync(work, limiter=self._limiter)
        return Answer(200, {"stored": stored}, stored=stored)

    def take(self, side: Side, address: tuple[str, str], headers: Headers, body: bytes, answer: SendAnswer) -> bool:
        """Verify and parse a POST that has arrived, and answer it once it is stored; False: it is for ``serve``.

        ``address``: scheme and path. Raises ``InvalidPayload``.
        """
        began_s = time.monotonic()
        if self._quick is None or find_nonce(body, headers):
            return False
        turns = self._find_turns(self._quick)
        post = self._quick.prepare(side, body, headers, self._join_url(*address, headers), turns.settle)
        if post is None:
            return False

        def finish(error: Exception | None) -> None:
            found = Answer(200, {"stored": post.new}, counted=True) if error is None else self._explain(side, error)
            if not found.counted:
                took_ms = (time.monotonic() - began_s) * 1000
                self._counts.count(side, found.status, Outcome.UNAVAILABLE, 0, took_ms)
            answer(found.status, *_encode(found))

        turns.put(post, began_s, finish)
        return True

    def _explain(self, side: Side, error: Exception) -> Answer:
        """Return the answer to a POST that could not be stored: the sender repeats it."""
        reason = str(error) if isinstance(error, WanesyncError) else ""
        logger.error("webhook not stored", side=side, error=type(error).__name__, reason=reason)
        return self._ask_again(OWN_TROUBLE)

    def _ask_again(self, reason: str) -> Answer:
        return Answer(503, {"error": reason}, {"Retry-After": str(self._settings.retry_after_s)})

    def _find_turns(self, intake: QuickIntakePort[Post]) -> _Turns:
        """Return what gathers the POSTs of this event loop."""
        loop = asyncio.get_running_loop()
        # A serverless runtime may run each request in a loop of its own.
        if self._turns is None or self._turns.loop is not loop:
            self._turns = _Turns(loop, intake, self._counts)
        return self._turns

    def _find_url(self, scope: Scope, headers: Headers) -> str:
        """Return the address that was signed: behind a proxy only the configuration has it."""
        query = scope["query_string"].decode("latin-1")
        url = self._join_url(scope["scheme"], scope["path"], headers)
        return f"{url}?{query}" if query else url

    def _join_url(self, scheme: str, path: str, headers: Headers) -> str:
        base = self._settings.public_url.rstrip("/") or f"{scheme}://{headers.get('host', '')}"
        return base + path

    def _refuse(  # noqa: PLR0913 - what is logged and what is answered
        self, side: Side, status: int, reason: str, scope: Scope, headers: Headers, *, closes: bool = False
    ) -> Answer:
        if status == 503:
            answer = self._ask_again(reason)
        else:
            peer = scope["client"][0] if scope.get("client") else ""
            client = self._settings.trusted_proxies.find_client(peer, headers)
            logger.warning("webhook refused", side=side, status=status, reason=reason, client=client)
            answer = Answer(status, {"error": reason})
        return replace(answer, headers={**answer.headers, "Connection": "close"}) if closes else answer


class WholeWebhooks:
    """Takes the webhooks that arrive whole and that a known secret signed (``whole_posts.WholePosts``)."""

    def __init__(self, routes: WebhookRoutes, sides: Mapping[str, Side]) -> None:
        self._routes = routes
        self._sides = {path.encode(): (path, side) for path, side in sides.items()}

    def is_for(self, url: bytes, length: int) -> bool:
        """Return whether it is a webhook whose body is parsed at once."""
        return length <= MAX_QUICK_BYTES and url in self._sides

    def take(self, scheme: str, url: bytes, headers: RawHeaders, body: bytes, answer: SendAnswer) -> bool:
        """Take a webhook; False for any that is not as it should be, which the application refuses."""
        path, side = self._sides[url]
        try:
            return self._routes.take(side, (scheme, path), _join_headers(headers), body, answer)
        except Exception:  # noqa: BLE001 - the application finds the same, and answers it
            return False


class _Turns:
    """The POSTs of an event loop: those that became ready in one turn of it go to the intake together.

    Outcomes come together as well: each call into the loop from another thread costs a system call and a change of
    threads.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, intake: QuickIntakePort[Post], counts: WebhookCounters) -> None:
        self.loop, self._intake, self._counts = loop, intake, counts
        self._posts: list[Post] = []
        self._waiting: dict[Post, tuple[Callable[[Exception | None], None], float]] = {}
        self._settled: list[Post] = []
        self._guard = threading.Lock()
        self._thread = threading.get_ident()

    async def wait_for(self, post: Post, began_s: float) -> None:
        """Wait until a POST is stored, and raise its error if it is not. It is counted if it is."""
        stored = self.loop.create_future()

        def finish(error: Exception | None) -> None:
            if stored.done():
                return
            if error is None:
                stored.set_result(None)
            else:
                stored.set_exception(error)

        self.put(post, began_s, finish)
        await stored

    def put(self, post: Post, began_s: float, finish: Callable[[Exception | None], None]) -> None:
        """Have a POST stored; ``finish`` is called in the event loop with its error, and must not raise.

        It is counted if it is stored.
        """
        self._waiting[post] = (finish, began_s)
        self._posts.append(post)
        if len(self._posts) == 1:
            # It runs after all that is ready now.
            self.loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Have the POSTs of this turn stored."""
        posts, self._posts = self._posts, []
        try:
            self._intake.store_prepared(posts)
        except Exception as error:  # noqa: BLE001 - it is the outcome of every POST of this turn
            for post in posts:
                post.error = error
            self.settle(posts)

    def settle(self, posts: Sequence[Post]) -> None:
        """Let the requests of some POSTs go on; in any thread."""
        if threading.get_ident() == self._thread:
            self._end(posts)
            return
        with self._guard:
            is_called = bool(self._settled)
            self._settled += posts
        if not is_called:
            # The loop is closed when the server has stopped without waiting for them.
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        with self._guard:
            posts, self._settled = self._settled, []
        self._end(posts)

    def _end(self, posts: Sequence[Post]) -> None:
        now_s = time.monotonic()
        times_ms: dict[Side, list[float]] = {}
        for post in posts:
            finish, began_s = self._waiting.pop(post)
            if post.error is None:
                times_ms.setdefault(post.side, []).append((now_s - began_s) * 1000)
            finish(post.error)
        for side, times in times_ms.items():
            number = sum(post.new for post in posts if post.side is side and post.error is None)
            self._counts.count_all(side, 200, Outcome.ACCEPTED, number, times)


def _join_headers(raw: RawHeaders) -> Headers:
    headers: Headers = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        # A header that was sent twice must not pass for one of its two values.
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _encode(answer: Answer) -> tuple[bytes, bytes]:
    """Return the lines of an answer's headers, and its body."""
    own = "".join(f"{name.lower()}: {value}\r\n" for name, value in answer.headers.items())
    return _HEADER_LINES + own.encode(), orjson.dumps(answer.content)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer with the headers of every answer."""
    body = orjson.dumps(answer.content) if answer.content else b""
    headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
