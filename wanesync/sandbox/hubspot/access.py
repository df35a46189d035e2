"""Access to the portal: tokens, rate windows, the daily quota, and the account endpoints."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from wanesync.sandbox.hubspot.answers import Answer, Refusal, iso, rate_limited
from wanesync.sandbox.hubspot.call import Call
from wanesync.sandbox.hubspot.contacts import Source
from wanesync.sandbox.hubspot.portal import Portal
from wanesync.sandbox.hubspot.settings import ROLLING_LIMIT, HubSpotSettings
from wanesync.sandbox.limits import RateWindow

DAY_MS = 86_400_000
ROLLING_MS = 10_000
OTHER_APP_ID = "777"  # of any token that contains "other"


class RateLimiter:
    """The rate windows of one portal. Search has a window of its own and sends no rate headers."""

    def __init__(self, settings: HubSpotSettings) -> None:
        self.settings = settings
        self.rolling = RateWindow(ROLLING_LIMIT, ROLLING_MS)
        self.search = RateWindow(settings.search_rate_per_s)
        self.strict: RateWindow | None = None
        self.set_rate(settings.rate_per_s)
        self.refused = 0
        self._day = 0
        self._used_today = 0

    def set_rate(self, per_s: int | None) -> None:
        """Enforce ``per_s`` in every 1 s window (None: only the tier's 10 s window)."""
        if per_s is None:
            self.strict = None
        elif self.strict is None:
            self.strict = RateWindow(per_s)
        else:
            self.strict.limit = per_s
        # 12 instead of 10 times: a client that keeps a tenth of the announced limit in reserve can use all of the rate.
        self.rolling.limit = max(ROLLING_LIMIT, 12 * (per_s or 0))

    def admit(self, searching: bool, now_ms: int, request_id: str) -> None:
        """Take a slot of every window that applies; raises the 429, and takes none, when one is full."""
        windows = [(self.search, "SECONDLY") if searching else (self.rolling, "TEN_SECONDLY_ROLLING")]
        if self.strict is not None:
            windows.append((self.strict, "SECONDLY"))
        if self._today(now_ms) >= self.settings.requests_per_day:
            self.refused += 1
            raise rate_limited("DAILY", request_id)
        for window, policy in windows:
            if window.used(now_ms) >= window.limit:
                self.refused += 1
                raise rate_limited(policy, request_id)
        for window, _ in windows:
            window.admit(now_ms)
        self._used_today += 1

    def headers(self, now_ms: int) -> Mapping[str, str]:
        """The rate headers of every response except those of search."""
        quota = self.settings.requests_per_day
        return {
            "X-HubSpot-RateLimit-Max": str(self.rolling.limit),
            "X-HubSpot-RateLimit-Remaining": str(max(0, self.rolling.limit - self.rolling.used(now_ms))),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(ROLLING_MS),
            "X-HubSpot-RateLimit-Daily": str(quota),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, quota - self._today(now_ms))),
        }

    def read_account(self, portal: Portal, _call: Call) -> Answer:
        """GET account-info details; the time zone of the account is UTC."""
        return Answer(200, {
            "portalId": portal.settings.portal_id,
            "accountType": "DEVELOPER_TEST",
            "timeZone": "Etc/UTC",
            "companyCurrency": "USD",
            "additionalCurrencies": [],
            "utcOffset": "+00:00",
            "utcOffsetMilliseconds": 0,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        })  # fmt: skip

    def read_usage(self, _portal: Portal, call: Call) -> Answer:
        """GET the daily usage of private apps; the quota resets at midnight UTC."""
        usage = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": self.settings.requests_per_day,
            "currentUsage": self._today(call.now_ms),
            "collectedAt": iso(call.now_ms),
            "fetchStatus": "SUCCESS",
            "resetsAt": iso((call.now_ms // DAY_MS + 1) * DAY_MS),
        }
        return Answer(200, {"results": [usage]})

    def _today(self, now_ms: int) -> int:
        if now_ms // DAY_MS != self._day:
            self._day, self._used_today = now_ms // DAY_MS, 0
        return self._used_today


def token_of(headers: Mapping[str, str]) -> str:
    """The bearer token; "" without one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def authenticate(headers: Mapping[str, str], app_id: int, revoked: Collection[str] = ()) -> Source:
    """The caller: any ``pat-…`` token is the app's own, unless it contains ``other``. Raises the 401."""
    token = token_of(headers)
    if token in revoked:
        raise Refusal(401, "INVALID_AUTHENTICATION", "Authentication credentials not valid.")
    if not token.startswith("pat-"):
        message = (
            "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find "
            "more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"
        )
        raise Refusal(401, "INVALID_AUTHENTICATION", message)
    app = OTHER_APP_ID if "other" in token else str(app_id)
    return Source("INTEGRATION", app, f"api:{token[-4:]}")
