"""The webhook client against receivers of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from wanesync.sandbox.stand_in import Delivery
from wanesync.sandbox.webhook_sender import WebhookClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Receiver:
    """Answers each request on a connection with the next of ``answers``; None: no answer."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self.heads: list[list[str]] = []
        self.bodies: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self._answers:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                length = next(int(line.split(":")[1]) for line in head if line.startswith("Content-Length:"))
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                answer = self._answers.pop(0)
                if answer is None:
                    await reader.read()  # until the sender gives up
                    break
                writer.write(answer)
                await writer.drain()
                if b"200" not in answer or b"close" in answer or b"chunked" in answer:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def exchange(receiver: Receiver, use: Callable[[WebhookClient, str], Awaitable[list[int | None]]]) -> list[int | None]:
    async def main() -> list[int | None]:
        server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
        client = WebhookClient(timeout_s=0.2)
        port = server.sockets[0].getsockname()[1]
        try:
            return await use(client, f"http://127.0.0.1:{port}/hooks?a=b%20c")
        finally:
            await client.close()
            server.close()

    return asyncio.run(main())


def delivery(url: str, body: bytes = b"{}") -> Delivery:
    return Delivery(1, url, {"Content-Type": "application/json", "Stripe-Signature": "t=1,v1=x"}, body, 0)


async def two(client: WebhookClient, url: str) -> list[int | None]:
    return [await client.post(delivery(url)), await client.post(delivery(url, "é".encode()))]


async def one(client: WebhookClient, url: str) -> list[int | None]:
    return [await client.post(delivery(url))]


def test_the_request_is_sent_as_it_was_signed() -> None:
    receiver = Receiver(OK, OK)
    assert exchange(receiver, two) == [200, 200]

    assert receiver.heads[0][0] == "POST /hooks?a=b%20c HTTP/1.1"
    assert "Stripe-Signature: t=1,v1=x" in receiver.heads[0]
    assert receiver.heads[0][1].startswith("Host: 127.0.0.1:")
    assert receiver.bodies == [b"{}", "é".encode()]


def test_a_connection_is_used_again() -> None:
    receiver = Receiver(OK, OK)
    exchange(receiver, two)
    assert receiver.connections == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.0 503 no\r\n\r\n", 503),
        (b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", 413),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: soon\r\n\r\n", None),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nhalf", None),
        (b"", None),
        (None, None),
    ],
)
def test_the_result_is_a_status_or_none(answer: bytes | None, status: int | None) -> None:
    assert exchange(Receiver(answer), one) == [status]


def test_after_a_closed_connection_the_next_post_opens_another() -> None:
    receiver = Receiver(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", OK)
    assert exchange(receiver, two) == [200, 200]
    assert receiver.connections == 2


def test_an_unreachable_receiver_is_no_answer() -> None:
    async def unreachable(client: WebhookClient, _url: str) -> list[int | None]:
        return [await client.post(delivery("http://127.0.0.1:1/"))]

    assert exchange(Receiver(), unreachable) == [None]
