"""Webhooks that were changed after they were signed: none may be accepted.

    python -m tests.robustness.tampered_webhooks [--webhooks N] [--seed K]

Each webhook is signed as its vendor does, then one thing is changed: a bit of the body, the time, the signature, the
address, the secret. Every thousandth is left as it is and must be accepted, so that the verifiers are seen to work.
Exits 1 if a changed one is accepted or an unchanged one refused.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from wanesync.adapters.signatures import (
    HUBSPOT_SIGNATURE,
    HUBSPOT_TIMESTAMP,
    MAX_SIGNATURE_AGE_MS,
    STRIPE_SIGNATURE,
    HubSpotSignature,
    SignedRequest,
    StripeSignature,
)
from wanesync.core.errors import InvalidSignature
from wanesync.sandbox.hubspot import webhooks as hubspot
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.sandbox.stripe import webhooks as stripe

URL = "https://sync.example.com/webhooks/{side}?a=1%2C2"
SECRETS = {"hubspot": ("new-client-secret", "old-client-secret"), "stripe": ("whsec_new", "whsec_old")}
NOW_MS = 1_790_000_000_000
GENUINE = 1_000
"""Every so-manieth webhook stays as it was signed."""
CONFUSABLE_DIGITS = "٠١٢٣٤٥٦٧٨٩"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One signed POST and the side it is of."""

    side: str
    request: SignedRequest

    def with_headers(self, **headers: str | None) -> Webhook:
        """Return it with other headers (``_`` for ``-``); None leaves one out."""
        merged = dict(self.request.headers) | {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in merged.items() if value is not None}
        return replace(self, request=replace(self.request, headers=kept))

    def with_body(self, body: bytes) -> Webhook:
        """Return it with another body."""
        return replace(self, request=replace(self.request, body=body))

    @property
    def signature(self) -> str:
        """The header that holds the signature."""
        return self.request.headers[HUBSPOT_SIGNATURE if self.side == "hubspot" else STRIPE_SIGNATURE]

    def with_signature(self, value: str | None) -> Webhook:
        """Return it with another signature header."""
        return self.with_headers(**{HUBSPOT_SIGNATURE if self.side == "hubspot" else STRIPE_SIGNATURE: value})


def sign(side: str, rng: random.Random, *, secret: str = "", at_ms: int = NOW_MS) -> Webhook:
    """Return a webhook of a random body."""
    body = b'[{"objectId":' + str(rng.randrange(10**9)).encode() + b',"v":"' + rng.randbytes(12).hex().encode() + b'"}]'
    url = URL.format(side=side)
    # HubSpot signs the address with some of its escapes undone.
    target = WebhookTarget(url.replace("%2C", ","), secret or rng.choice(SECRETS[side]))
    headers = hubspot.sign(target, body, at_ms) if side == "hubspot" else stripe.sign(target, body, at_ms)
    return Webhook(side, SignedRequest("POST", url, {name.lower(): value for name, value in headers.items()}, body))


# -- what may be changed


def flip_body_bit(one: Webhook, rng: random.Random) -> Webhook:
    """Flip a bit."""
    body = bytearray(one.request.body)
    body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return one.with_body(bytes(body))


def cut_or_lengthen_body(one: Webhook, rng: random.Random) -> Webhook:
    """Leave some bytes out, or add some at either end."""
    body, extra = one.request.body, rng.choice([b" ", b"\n", b"\0", b"[]", b"\xef\xbb\xbf"])
    start = rng.randrange(len(body))
    return one.with_body(rng.choice([body[:start], body[start + 1 :], body + extra, extra + body, b""]))


def replace_body(one: Webhook, rng: random.Random) -> Webhook:
    """Take the body of another webhook."""
    return one.with_body(sign(one.side, rng).request.body)


def change_signature(one: Webhook, rng: random.Random) -> Webhook:
    """Change one character, cut, double or drop the signature, or write it in another form."""
    text = one.signature
    at = rng.randrange(len(text))
    other = rng.choice([chr(c) for c in range(33, 127) if chr(c) != text[at]])
    head, _, value = text.rpartition("=") if one.side == "stripe" else ("", "", text)
    forms = [
        text[:at] + other + text[at + 1 :],
        text[:at] + text[at + 1 :],
        text.swapcase(),
        text[::-1],
        "",
        None,
        text.replace("v1", "v0") if one.side == "stripe" else text + "=",
        f"{head}={value[:32]}" if head else value[: len(value) // 2],
        "\u2068" + text,
        text.replace("=", "=\u200b"),
    ]
    return one.with_signature(rng.choice(forms))


def change_time(one: Webhook, rng: random.Random) -> Webhook:
    """Move the time, whose signature stays; or write its digits in another script."""
    shift = rng.choice([-1, 1]) * rng.randrange(1, 10**6)
    if one.side == "hubspot":
        stamp = one.request.headers[HUBSPOT_TIMESTAMP]
        forms = [
            str(int(stamp) + shift),
            stamp + "0",
            f" {stamp}",
            f"+{stamp}",
            f"{stamp}.0",
            _confuse(stamp),
            "",
            None,
        ]
        return one.with_headers(**{HUBSPOT_TIMESTAMP: rng.choice(forms)})
    stamp = one.signature.split("t=")[1].split(",")[0]
    forms = [str(int(stamp) + shift), stamp + "0", f"+{stamp}", _confuse(stamp), "", f"{stamp},t={int(stamp) + shift}"]
    return one.with_signature(one.signature.replace(f"t={stamp}", f"t={rng.choice(forms)}"))


def _confuse(digits: str) -> str:
    return digits.translate({ord(str(number)): other for number, other in enumerate(CONFUSABLE_DIGITS)})


def age(one: Webhook, rng: random.Random) -> Webhook:
    """Sign rightly, at a time too far from now."""
    away_ms = rng.choice([-1, 1]) * (MAX_SIGNATURE_AGE_MS + rng.randrange(1_000, 10**9))
    return sign(one.side, rng, at_ms=NOW_MS + away_ms)


def use_another_secret(one: Webhook, rng: random.Random) -> Webhook:
    """Sign with a secret that is not configured: a near one, the other side's, none."""
    own = rng.choice(SECRETS[one.side])
    other = "stripe" if one.side == "hubspot" else "hubspot"
    near = [own[:-1], own + " ", own.upper(), rng.choice(SECRETS[other]), "x", rng.randbytes(16).hex()]
    return sign(one.side, rng, secret=rng.choice(near))


def change_address(one: Webhook, rng: random.Random) -> Webhook:
    """Send a HubSpot webhook to another address; Stripe's signature does not cover it, so its body is changed."""
    if one.side == "stripe":
        return flip_body_bit(one, rng)
    url = one.request.url
    other = rng.choice([url + "&b=2", url.replace("sync", "evil"), url.replace("https", "http"), url.partition("?")[0]])
    return replace(one, request=replace(one.request, url=other))


CHANGES: tuple[Callable[[Webhook, random.Random], Webhook], ...] = (
    flip_body_bit, cut_or_lengthen_body, replace_body, change_signature, change_time, age, use_another_secret,
    change_address,
)  # fmt: skip


def play(number: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Verify so many webhooks: counts by what was changed, and what was wrongly accepted or refused."""
    rng = random.Random(seed)
    verifiers: dict[str, HubSpotSignature | StripeSignature] = {
        "hubspot": HubSpotSignature(SECRETS["hubspot"]),
        "stripe": StripeSignature(SECRETS["stripe"]),
    }
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for place in range(number):
        genuine = sign(rng.choice(["hubspot", "stripe"]), rng)
        is_genuine = place % GENUINE == 0
        change = rng.choice(CHANGES)
        sent = genuine if is_genuine else change(genuine, rng)
        if not is_genuine and sent == genuine:
            continue
        name = "unchanged" if is_genuine else change.__name__
        try:
            verifiers[sent.side].verify(sent.request, NOW_MS)
            accepted = True
        except InvalidSignature:
            accepted = False
        counts[name] += 1
        if accepted != is_genuine:
            wrong.append(f"{name} {'accepted' if accepted else 'refused'}: {sent}")
    return counts, wrong


def main() -> None:
    """Play a campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webhooks", type=int, default=1_002_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began_s = time.monotonic()
    counts, wrong = play(options.webhooks, options.seed)
    for name, count in sorted(counts.items()):
        sys.stdout.write(f"{name:<24}{count:>10,}\n")
    tampered = sum(counts.values()) - counts["unchanged"]
    sys.stdout.write(f"{tampered:,} tampered, {len(wrong)} wrong, in {time.monotonic() - began_s:.0f} s\n")
    for line in wrong[:10]:
        sys.stdout.write(f"{line}\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
