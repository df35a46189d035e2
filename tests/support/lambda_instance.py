"""One instance of a function of AWS Lambda behind an HTTP API, as HTTP server: each POST becomes an event."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, Self

from tests.support.serverless_door import api_gateway_event
from tests.support.set_up import Answer, Proxy

MODULE = "wanesync.serverless.aws_lambda"
STAGE = "/live"


class LambdaInstance:
    """Imports the handler at the first request, as a cold start does, and answers one request at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, initializer=self._start)
        self._proxy = Proxy(0)
        self._proxy.fault = self._answer
        self.url = f"http://127.0.0.1:{self._proxy.port}{STAGE}"
        self.answers: list[int] = []

    def _start(self) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())

    def _answer(self, body: bytes, path: str, headers: Mapping[str, str]) -> Answer:
        event = api_gateway_event(
            path.removeprefix(STAGE), body, {name.lower(): value for name, value in headers.items()}
        )
        answer = self._thread.submit(self._call, event).result()
        self.answers.append(answer["statusCode"])
        return answer["statusCode"], answer["headers"], answer["body"].encode()

    def _call(self, event: dict[str, Any]) -> dict[str, Any]:
        module = importlib.import_module(MODULE)
        answer: dict[str, Any] = module.handler(event, None)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.close()
        self._thread.submit(self._stop).result()
        self._thread.shutdown()

    def _stop(self) -> None:
        module: ModuleType | None = sys.modules.pop(MODULE, None)
        if module is not None:
            module._app.close()
        asyncio.get_event_loop().close()
        asyncio.set_event_loop(None)
