"""Passwords: which are taken, and how they are compared."""

from __future__ import annotations

import pytest

from tests.support.admin import CHEAP
from wanesync.admin.security.passwords import MAX_CHARS, Passwords, find_flaw


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "Ein ganzer Satz, den man sich merkt",
        "x9#kQ2!vLp7w",
        "пароль который никто не знает",
        "🐎🔋📎🌲🚀🧀🎲🦉🪐🧦🪁🧭",
        "q7" * 3 + "Zk!4-rmtw90",
        "vier zufällige Wörter " * 4,
        "zlkj3 98sd0 fj23k lj4x9 " * 10,
    ],
)
def test_any_long_one_that_is_not_guessed_first_is_taken(password: str) -> None:
    assert find_flaw(password, "anna") == ""


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "x9#kQ2!vLp7",
        "passwordpassword",
        "password123456",
        "123456789012",
        "qwertyuiopasdf",
        "aaaaaaaaaaaaaaaa",
        "iloveyou1234",
        "wanesyncwanesync",
        "annaannaanna",
        "x" * (MAX_CHARS + 1),
    ],
)
def test_a_short_one_and_one_of_the_first_guesses_is_not(password: str) -> None:
    assert find_flaw(password, "anna")


def test_a_password_is_stored_as_argon2id_with_the_parameters_of_rfc_9106() -> None:
    digest = Passwords().hash("correct horse battery staple")
    assert digest.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert CHEAP.hash("one") != CHEAP.hash("one")


def test_it_matches_itself_alone() -> None:
    digest = CHEAP.hash("correct horse battery staple")
    assert CHEAP.matches(digest, "correct horse battery staple")
    assert not CHEAP.matches(digest, "Correct horse battery staple")
    assert not CHEAP.matches(digest, "correct horse battery staple ")
    assert not CHEAP.matches("", "compared where there is no user")
    assert not CHEAP.matches("not a hash", "x")


def test_nothing_of_a_long_one_is_cut_off() -> None:
    digest = CHEAP.hash("a" * 100)
    assert not CHEAP.matches(digest, "a" * 99)
    assert not CHEAP.matches(digest, "a" * 101)
