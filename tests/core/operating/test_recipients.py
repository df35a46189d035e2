"""What one text of the configuration means as a recipient; addresses of webhooks are never shown."""

from __future__ import annotations

import pytest

from wanesync.core.operating.recipients import RecipientKind, make_book, parse_recipient, split_command

SLACK = "https://hooks.slack.com/services/T0/B0/secret"


@pytest.mark.parametrize(
    ("text", "kind", "label"),
    [
        (SLACK, RecipientKind.SLACK, "slack hooks.slack.com"),
        ("https://chat.example.com/hooks/secret", RecipientKind.SLACK, "slack chat.example.com"),
        ("https://discord.com/api/webhooks/1/secret", RecipientKind.DISCORD, "discord discord.com"),
        ("https://x.webhook.office.com/secret", RecipientKind.TEAMS, "teams x.webhook.office.com"),
        ("teams+https://flow.example/secret", RecipientKind.TEAMS, "teams flow.example"),
        ("json+http://127.0.0.1:8080/secret", RecipientKind.JSON, "json 127.0.0.1:8080"),
        ("mailto:ops.secret@example.com", RecipientKind.EMAIL, "email o…@example.com"),
        ("run:/usr/bin/page-me --token secret", RecipientKind.COMMAND, "command page-me"),
        ("ntfy://secret", RecipientKind.APPRISE, "apprise ntfy"),
        ("mailtos://user:secret@example.com", RecipientKind.APPRISE, "apprise mailtos"),
    ],
)
def test_the_kind_follows_from_the_text_and_the_label_holds_no_secret(
    text: str, kind: RecipientKind, label: str
) -> None:
    found = parse_recipient(text)
    assert (found.kind, found.label) == (kind, label)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ops@example.com", "hooks.slack.com/services/x", "https://", "https:///x", "http://example.com/secret"),
        *(
            "mailto:ops",
            "mailto:a@b.example,c@d.example",
            "run:",
            "run:'open",
            "https://exa mple.com/x",
            "https://x:y/z",
        ),
    ],
)
def test_what_is_no_recipient_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be") as caught:
        parse_recipient(text)
    assert "example.com/" not in str(caught.value)


def test_a_command_is_split_as_a_shell_quotes_it() -> None:
    assert split_command("/bin/page 'two words' $HOME") == ["/bin/page", "two words", "$HOME"]


def test_warnings_go_to_warn_and_critical_notices_to_both_once_each() -> None:
    book = make_book([SLACK], ["mailto:oncall@example.com", SLACK], [])
    assert [one.place for one in book.find(critical=False)] == ["warn 1"]
    assert [one.place for one in book.find(critical=True)] == ["warn 1", "critical 1"]
    assert [one.place for one in book.all] == ["warn 1", "critical 1", "critical 2"]
    assert [one.place for one in book.distinct] == ["warn 1", "critical 1"]


def test_the_digest_goes_to_its_own_readers_else_to_those_of_warnings() -> None:
    assert [one.place for one in make_book([SLACK], [], ["mailto:a@example.com"]).digest_readers] == ["digest 1"]
    assert [one.place for one in make_book([SLACK], [], []).digest_readers] == ["warn 1"]
    assert [one.place for one in make_book([], [SLACK], []).digest_readers] == ["critical 1"]
    assert make_book([], [], []).digest_readers == []
