"""Where a published specification says otherwise than the vendor's guides and recorded traffic: what is accepted."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.support.published_specs import Violation

QUIRKS = (
    (
        r"request .*: body\.(propertiesWithHistory|after|includeDefaultProperties) is missing",
        "marked as required; the guides' examples leave it out, and so does recorded traffic that was accepted",
    ),
    (
        r"request .*/search: body\.sorts\[\] violates type 'string'",
        "the guide and the SDKs sort by {propertyName, direction}",
    ),
    (
        r"answer [45]\d\d .*: body\.(status|context|errors|policyName|requestId|errorType) is not published",
        "in every recorded error",
    ),
    (
        r"answer 207 .*: a status that is not published",
        "2026-09 leaves 207 out; its guide describes it (objects, multi-status errors)",
    ),
    (
        r"answer 20\d .*/contacts.*: body\.(results\[\]\.)?properties\.\w+ violates type 'string'",
        "v3 and 2026-03 do not say that a value may be null; recorded answers of v3 show it, and 2026-09 says it",
    ),
    (
        r"request POST /v1/customers/ID: body\.preferred_locales violates type 'array'",
        "a list without entries cannot be written in a form; whether a blank text clears it is not tried",
    ),
    (
        r"path (GET /crm/.*property-validations.*|POST /oauth/v2/private-apps/get/access-token-info): not published",
        "HubSpot publishes them elsewhere: the first in a file that the folder lacks, the second in its guide only",
    ),
    (
        r"path GET /v1/account: not published",
        "not in the cut specification; tests/sandbox/stripe/test_schema.py compares it with Stripe's example",
    ),
)
"""Pattern of ``PART OPERATION: TEXT`` -> why it is no fault of a request or an answer."""


def find_faults(violations: Iterable[Violation]) -> list[str]:
    """The violations that are no known quirk, each once."""
    lines = sorted({f"{one.part} {one.operation}: {one.text}" for one in violations})
    return [line for line in lines if not any(re.fullmatch(pattern, line) for pattern, _ in QUIRKS)]
