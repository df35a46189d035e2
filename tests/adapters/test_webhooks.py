"""What the webhooks of both sides share: verification first, and elements that cannot be read."""

from __future__ import annotations

import json

import pytest

from wanesync.adapters.checked_values import MAX_ID_CHARS, InvalidElement, check_id
from wanesync.adapters.signatures import StripeSignature
from wanesync.adapters.webhooks import (
    FOREIGN,
    IGNORED,
    MAX_KEPT_BYTES,
    MAX_TOKENS,
    MIN_SCANNED_BYTES,
    WebhookAdapter,
    WebhookContents,
    event_key,
    parse_body,
)
from wanesync.core.errors import InvalidPayload, InvalidSignature
from wanesync.core.ports import ParsedWebhook


class NotedParser:
    """A parser that notes the bodies it is given."""

    def __init__(self) -> None:
        self.bodies: list[tuple[bytes, int]] = []

    def parse(self, body: bytes, received_ms: int) -> ParsedWebhook:
        self.bodies.append((body, received_ms))
        return ParsedWebhook([], [], [], 0, 0)


def test_a_body_without_a_signature_is_refused_and_not_parsed() -> None:
    parser = NotedParser()
    adapter = WebhookAdapter(StripeSignature(["whsec_1"]), parser)
    with pytest.raises(InvalidSignature):
        adapter.verify(b"{}", {}, "https://sync.example.com/webhooks/stripe", 1_700_000_000_000)
    assert parser.bodies == []


def test_a_body_is_parsed_with_the_time_of_its_arrival() -> None:
    parser = NotedParser()
    WebhookAdapter(StripeSignature(["whsec_1"]), parser).parse(b"{}", 5)
    assert parser.bodies == [(b"{}", 5)]


@pytest.mark.parametrize("body", [b"", b"[", b"\xff", b"[NaN]", b'["\\ud83d", NaN]', b'"\\ud83d"' + b"[" * 10_000])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidPayload, match="not JSON that can be read"):
        parse_body(body)


def test_a_lone_surrogate_stays_for_the_check_of_its_element() -> None:
    assert parse_body(b'{"city": "K\\uD83D"}') == {"city": "K\ud83d"}


@pytest.mark.parametrize("body", [b"[" + b"{}," * MAX_TOKENS + b"{}]", b"[" + b'"",' * MAX_TOKENS + b"0]"])
def test_a_body_of_very_many_values_is_refused_before_it_is_parsed(body: bytes) -> None:
    assert len(body) > MIN_SCANNED_BYTES
    with pytest.raises(InvalidPayload, match="more than 100,000 values"):
        parse_body(body)


def test_long_texts_are_no_reason_to_refuse_a_body() -> None:
    body = json.dumps([{"propertyValue": '{[,"\\' * 20_000}] * 10).encode()
    assert parse_body(body) == json.loads(body)


def test_an_element_with_half_a_surrogate_pair_is_kept_escaped_and_a_long_one_is_cut() -> None:
    contents = WebhookContents()
    contents.put_aside({"city": "K\ud83d"}, "why")
    contents.put_aside({"city": "a" * MAX_KEPT_BYTES}, "why")
    assert contents.set_aside[0] == (b'{"city": "K\\ud83d"}', "why")
    kept, reason = contents.set_aside[1]
    assert len(kept) == MAX_KEPT_BYTES
    assert "only its first 65,536 bytes" in reason


def test_an_element_that_cannot_be_read_is_kept_with_the_reason() -> None:
    contents = WebhookContents()
    contents.put_aside({"id": 1}, "no usable record id")
    ((raw, reason),) = contents.as_parsed().set_aside
    assert (json.loads(raw), reason) == ({"id": 1}, "no usable record id")


def test_an_element_that_is_nested_too_deep_is_kept_without_its_content() -> None:
    deep: list[object] = []
    for _ in range(1_000):
        deep = [deep]
    contents = WebhookContents()
    contents.put_aside(deep, "no object")
    assert contents.set_aside == [(b"", "no object; nested too deep to be kept")]


def test_dropped_elements_are_counted_apart() -> None:
    contents = WebhookContents()
    contents.dropped.update([FOREIGN, IGNORED, IGNORED])
    parsed = contents.as_parsed()
    assert (parsed.foreign, parsed.ignored) == (1, 2)


def test_the_key_of_an_event_depends_on_every_part_and_on_the_secret() -> None:
    keys = [event_key(b"k", "a", "bc"), event_key(b"k", "ab", "c"), event_key(b"k", "a"), event_key(b"l", "a", "bc")]
    assert len(set(keys)) == 4
    assert event_key(b"k", "a", "bc") == keys[0]


@pytest.mark.parametrize("value", ["", "_", "a b", "7/8", "ü", "²", "a" * (MAX_ID_CHARS + 1)])
def test_an_id_of_other_characters_or_too_long_is_refused(value: str) -> None:
    with pytest.raises(InvalidElement, match="no usable record id"):
        check_id(value)


def test_an_id_of_another_kind_is_refused() -> None:
    assert check_id("cus_1", ["cus_", "gcus_"]) == "cus_1"
    with pytest.raises(InvalidElement, match="another kind"):
        check_id("ch_1", ["cus_", "gcus_"])
