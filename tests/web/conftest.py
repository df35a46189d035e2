"""The web application that the tests of this folder call."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.web_door import LIMIT, PUBLIC_URL, Door, Memory, QuickMemory, serve
from wanesync.web.settings import WebSettings


@pytest.fixture(params=[Memory, QuickMemory], ids=["threads", "quick"])
def door(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Door]:
    settings = WebSettings(public_url=PUBLIC_URL + "/", max_body_bytes=LIMIT)
    with caplog.at_level(logging.DEBUG), serve(settings, request.param()) as opened:
        yield opened
    assert [record for record in caplog.records if record.exc_info] == []
