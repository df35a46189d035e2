"""Requests with an Idempotency-Key."""

from __future__ import annotations

import pytest

from wanesync.admin.api.idempotency import AnswerRepeated, KeyedRequest, KeyInUse, KeyReused
from wanesync.core.errors import ConfigError
from wanesync.store import Store


def request(store: Store, *, caller: str = "ci", key: str = "k", body: bytes = b"{}") -> KeyedRequest:
    return KeyedRequest(store, caller, "POST /api/v1/things?", key, body)


def stored_body(repeated: KeyedRequest) -> str:
    """The answer that a repeated request gets."""
    with pytest.raises(AnswerRepeated) as found:
        repeated.begin()
    return found.value.stored.body


def test_the_same_request_gets_the_stored_answer(store: Store) -> None:
    first = request(store)
    first.begin()
    with pytest.raises(KeyInUse):
        request(store).begin()
    first.finish(200, b'{"things": 1}')
    with pytest.raises(AnswerRepeated) as repeated:
        request(store).begin()
    assert (repeated.value.stored.status, repeated.value.stored.body) == (200, '{"things": 1}')


def test_another_request_with_the_same_key_is_refused(store: Store) -> None:
    request(store).begin()
    with pytest.raises(KeyReused):
        request(store, body=b"[]").begin()


def test_keys_belong_to_their_caller(store: Store) -> None:
    first, another = request(store), request(store, caller="another")
    first.begin()
    another.begin()
    first.finish(200, b"first")
    another.finish(200, b"another")
    assert (stored_body(request(store)), stored_body(request(store, caller="another"))) == ("first", "another")


def test_a_failed_request_runs_again(store: Store) -> None:
    first = request(store)
    first.begin()
    first.forget()
    again = request(store, body=b"[]")
    again.begin()
    again.finish(200, b"again")
    assert stored_body(request(store, body=b"[]")) == "again"


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_a_bounded_length(store: Store, key: str) -> None:
    with pytest.raises(ConfigError, match="Idempotency-Key: 1 to 255 characters"):
        request(store, key=key)
