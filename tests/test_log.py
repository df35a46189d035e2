"""One clean line per record, without secrets or addresses, whoever logged it."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from wanesync import log
from wanesync.output import UNSAFE

SECRETS = [
    "pat-eu1-11111111-2222-3333-4444-555555555555",
    "sk_live_51Habcdef",
    "rk_test_51Habcdef",
    "whsec_abcDEF123",
    "Ada.Lovelace+x@mail.example.com",
    "ada%40example.com",
    "+49 30 1234567",
    "+493012345678",
    "(555) 123-4567",
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_object_per_record_with_fixed_keys() -> None:
    stream = io.StringIO()
    log.configure("info", stream)
    structlog.get_logger("wanesync.test").info("job done", job="7", took_ms=12)
    structlog.get_logger("wanesync.test").debug("not this one")
    (record,) = lines(stream)
    assert record.pop("ts")
    assert record == {
        "event": "job done", "level": "info", "logger": "wanesync.test", "job": "7", "took_ms": 12,
    }  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_masked_everywhere(secret: str) -> None:
    stream = io.StringIO()
    log.configure("debug", stream)
    logger = structlog.get_logger("wanesync.test")
    event = f"sent {secret}."
    logger.info(event, note=secret, deep={"list": [("x", secret)]}, raw=secret.encode(), error=ValueError(secret))
    logging.getLogger("urllib3").warning("foreign %s", secret)
    try:
        raise ValueError(secret)
    except ValueError:
        logger.exception("failed")
    assert len(lines(stream)) == 3
    assert secret not in stream.getvalue()
    assert "ValueError: its message may hold data" in stream.getvalue()


@pytest.mark.case(42)
@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("%40" * 3_000 + "x.y", log.MASK),
        ("a@" * 3_000 + "b.c/d", f"{log.MASK}/d"),
        ("%40" * 3_000, "%40" * 3_000),
        ("GET /contacts/ada%40example.com/tags?a=1", f"GET {log.MASK}/tags?a=1"),
        ("ada@localhost", "ada@localhost"),
    ],
)
def test_an_address_is_found_without_trying_each_place_again(text: str, masked: str) -> None:
    """A pattern that begins anew at each character needs half a minute for the first of these."""
    assert log.mask("note", text) == masked


def test_a_long_text_is_cut_before_it_is_searched() -> None:
    text = log.mask("note", "word " * 100_000 + "ada@example.com")
    assert isinstance(text, str)
    assert len(text) < log.MAX_CHARS + 100
    assert text.endswith("(500,015 characters)")


@pytest.mark.parametrize(
    "key", ["email", "access_token", "api_key", "webhook_secret", "Authorization", "x-signature", "phone"]
)
def test_telling_keys_are_masked_whatever_they_hold(key: str) -> None:
    assert log.mask(key, "plain") == log.MASK
    assert log.mask("request", {key: ["plain"]}) == {key: [log.MASK]}


@pytest.mark.parametrize(
    "harmless",
    [
        "1234567890123",
        "cus_NffrFeUfNV2Hib",
        "2026-11-22T15:05:00Z",
        "pi_3MtwBwLkdIwHu7ix",
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "sync@",
    ],
)
def test_ids_and_times_stay(harmless: str) -> None:
    assert log.mask("record", harmless) == harmless


def test_passwords_in_addresses_are_masked() -> None:
    assert log.mask("database", "postgresql://ada:pw@host/name") == "postgresql://***@host/name"


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_no_record_can_break_out_of_its_line(kind: type[io.StringIO]) -> None:
    stream = kind()
    log.configure("info", stream)
    structlog.get_logger("wanesync.test").info("a\nb\x1b[2Jc\u2028d\x85", key={"k\n\x1b[1m": "v\r\n\x1b[31m"})
    text = stream.getvalue()
    assert len(text.splitlines()) == 1
    assert "\x1b[2J" not in text
    assert "\x1b[31m" not in text


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_no_character_of_a_record_commands_a_terminal(kind: type[io.StringIO]) -> None:
    stream = kind()
    log.configure("info", stream)
    poison = "a\x1b]8;;http://evil\x07b\x9b31mc\u202egnp\u2066\u200f\u061c\ufeff\x7f"
    structlog.get_logger("wanesync.test").info(poison, nested={poison: [poison]})
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert UNSAFE.search(json.dumps(json.loads(text), ensure_ascii=False) if kind is io.StringIO else text) is None


def test_a_record_on_a_terminal_is_broken_between_words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    log.configure("info", stream)
    reason = "no secret made this signature; check stripe.webhook_secret"
    structlog.get_logger("wanesync.web.webhooks").warning("webhook refused", side="stripe", status=401, reason=reason)
    first, *more = stream.getvalue().splitlines()
    assert re.match(r"[0-9T:-]{19}Z warning: webhook refused ", first)
    assert max(map(len, (first, *more))) <= 80
    assert all(line.startswith("  ") for line in more)
    assert f"side=stripe status=401 reason='{reason}'" in " ".join(stream.getvalue().split())


def test_chatty_libraries_are_quiet() -> None:
    stream = io.StringIO()
    log.configure("debug", stream)
    for name in ("hubspot", "stripe", "urllib3.connectionpool"):
        logging.getLogger(name).info("request")
        logging.getLogger(name).warning("trouble")
    assert [record["event"] for record in lines(stream)] == ["trouble"] * 3


def test_requests_that_are_none_write_no_line() -> None:
    """Anything that reaches the door could send any number of them."""
    stream = io.StringIO()
    log.configure("debug", stream)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    assert [line["event"] for line in lines(stream)] == ["Exception in ASGI application"]


@pytest.mark.parametrize("odd", ["half a pair: \ud800", 1 << 70])
def test_a_value_that_json_has_no_form_for_does_not_print_the_record_unmasked(
    odd: object, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    log.configure("info", stream)
    structlog.get_logger("ours").warning("odd", value=odd, author="jane@example.com")
    assert json.loads(stream.getvalue())["author"] == "***"
    assert capsys.readouterr().err == ""


def test_a_password_with_an_at_sign_is_masked_whole() -> None:
    assert log.mask("url", "postgresql://app:se@cr@et@db/x") == "postgresql://***@db/x"
