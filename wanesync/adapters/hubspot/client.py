"""HubSpot's SDK (hubspot-api-client 12): one set of cached API objects, raw answers, no hidden retries, time-outs.

The SDK builds a new client with an own connection pool each time one of its API properties is read;
here they are built once and share one pool. The SDK is untyped, so ``Any`` ends in this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from hubspot import HubSpot
from hubspot.crm import contacts
from hubspot.crm.contacts.exceptions import ApiException, NotFoundException
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from wanesync.adapters.api_keys import FixedKey, call_with_newest
from wanesync.adapters.http_answers import (
    CONNECT_TIMEOUT_S,
    HUBSPOT_READ_TIMEOUT_S,
    MAX_ERROR_BYTES,
    AnswerTooLarge,
    check_content_type,
    read_body,
    read_timing,
    tell_when_sent,
)
from wanesync.adapters.hubspot.api_paths import DEFINITIONS, find_paths
from wanesync.adapters.hubspot.errors import ErrorTable, read_network_error, read_unreadable
from wanesync.adapters.json_values import parse_vendor, whole
from wanesync.adapters.large_bodies import TooLarge
from wanesync.adapters.network import PINNED, NetworkPolicy, check_target, choose_address, open_manager
from wanesync.core.errors import CallError
from wanesync.core.model import Side
from wanesync.core.ports import ApiKey, Limits, RequestEnd, Timing, observe_nothing
from wanesync.core.setup.api_versions import HubSpotVersion

TIMEOUT = (CONNECT_TIMEOUT_S, HUBSPOT_READ_TIMEOUT_S)
REFUSALS = (400, 401, 403)
"""Statuses of a path that exists, whatever it holds."""
POOL_SIZE = 16
"""Connections: twice the calls of a worker's HubSpot lane."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A 2xx answer; ``body`` is {} if it has none."""

    status: int
    timing: Timing
    body: Mapping[str, object] = field(default_factory=dict)


class VersionedApi(contacts.ApiClient):  # type: ignore[misc] # the SDK has no types
    """The SDK's client with the paths of one version of the API: the one place where a path is chosen.

    Where a version has two spellings of some paths, the first call that is not found decides which one HubSpot has: the
    list of event definitions, which exists wherever its path does, is asked for in the first spelling.
    """

    def __init__(self, settings: Any, version: HubSpotVersion) -> None:
        super().__init__(configuration=settings)
        self._version = version
        self._spelling: int | None = None

    def call_api(self, resource_path: str, *args: Any, **options: Any) -> Any:
        """Make a request. Raises ``ValueError`` for a path that is not in the table."""
        paths = find_paths(resource_path, self._version)
        if len(paths) == 1:
            return super().call_api(paths[0], *args, **options)
        try:
            answer = super().call_api(paths[self._spelling or 0], *args, **options)
        except NotFoundException:
            if self._spelling is None:
                self._spelling = 1 if resource_path == DEFINITIONS else self._find_spelling()
                if self._spelling:
                    return super().call_api(paths[self._spelling], *args, **options)
            raise
        self._spelling = self._spelling or 0
        return answer

    def _find_spelling(self) -> int:
        """Return which spelling of the paths of events exists. Raises what else a request raises."""
        path = find_paths(DEFINITIONS, self._version)[0]
        options = {"auth_settings": ["oauth2"], "_preload_content": False, "_request_timeout": TIMEOUT}
        try:
            super().call_api(path, "GET", header_params={"Accept": "application/json"}, **options).close()
        except NotFoundException:
            return 1
        except ApiException as error:
            if error.status not in REFUSALS:
                raise
        return 0


class HubSpotClient:
    """The API objects of one portal. Thread-safe: the SDK's objects hold no state of a call that is read here."""

    def __init__(  # noqa: PLR0913 - each is an option of the connection, by name
        self,
        token: str,
        base_url: str | None,
        errors: ErrorTable,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        version: HubSpotVersion = "v3",
        network: NetworkPolicy = PINNED,
        key: ApiKey | None = None,
    ) -> None:
        self._key = key or FixedKey(token)
        address = choose_address(Side.HUBSPOT, base_url, network)
        shared: list[Any] = []

        def build(package: Any, name: str, config: Mapping[str, Any]) -> Any:
            if not shared:
                settings = contacts.Configuration()
                for option in ("access_token", "host", "connection_pool_maxsize"):
                    setattr(settings, option, config[option])
                settings.retries = False
                shared.append(VersionedApi(settings, version))
            return getattr(package, name)(api_client=shared[0])

        sdk = HubSpot(access_token=token, host=address, connection_pool_maxsize=POOL_SIZE, api_factory=build)
        self.contacts = sdk.crm.contacts.basic_api
        self.contact_batches = sdk.crm.contacts.batch_api
        self.contact_search = sdk.crm.contacts.search_api
        self.note_batches = sdk.crm.objects.notes.batch_api
        self.association_batches = sdk.crm.associations.v4.batch_api
        self.properties = sdk.crm.properties.core_api
        self.event_batches = sdk.events.send.batch_api
        self._raw = shared[0]
        self._raw.rest_client.pool_manager = open_manager(address, network, POOL_SIZE)
        self._guard_requests(address)
        self._errors = errors
        self._monotonic = monotonic
        self.last_limits = Limits()

    def _guard_requests(self, address: str) -> None:
        """Send nothing to another address, and read error answers here: the SDK reads them whole at any size."""
        pool = self._raw.rest_client.pool_manager
        send = pool.urlopen

        def guarded(method: str, url: str, **options: Any) -> Any:
            check_target(url, address)
            headers = dict(options.pop("headers", None) or {})
            if "Authorization" in headers:
                headers["Authorization"] = f"Bearer {self._key.current()}"
            response = send(method, url, **{**options, "headers": headers, "redirect": False})
            if 200 <= response.status < 300:
                return response
            try:
                body = read_body(response, MAX_ERROR_BYTES)
            except TooLarge:
                body = b""
            headers = {name: value for name, value in response.headers.items() if name.lower() != "content-encoding"}
            return HTTPResponse(BytesIO(body), headers, response.status, reason=response.reason, preload_content=False)

        pool.urlopen = guarded

    def put_gate(
        self,
        gate: Callable[[], None],
        observe: Callable[[RequestEnd], None] = observe_nothing,
        sent: Callable[[], None] = lambda: None,
    ) -> None:
        """Call ``gate`` right before each request's bytes leave, ``sent`` right after, ``observe`` at its answer."""
        pool = self._raw.rest_client.pool_manager
        send = pool.urlopen

        def gated(*args: Any, **options: Any) -> Any:
            gate()
            began_s, status, request_id = time.monotonic(), 0, ""
            try:
                with tell_when_sent(sent):
                    response = send(*args, **options)
                status, request_id = response.status, response.headers.get("x-hubspot-correlation-id", "")
                return response
            finally:
                observe(RequestEnd(status, (time.monotonic() - began_s) * 1000, request_id))

        pool.urlopen = gated

    def call(self, method: Callable[..., Any], *args: object, **options: object) -> Reply:
        """One request through a method of the SDK, two if the key was replaced meanwhile. Raises CallError."""
        return call_with_newest(self._key, lambda: self._call_once(method, args, options))

    def _call_once(self, method: Callable[..., Any], args: Sequence[object], options: Mapping[str, object]) -> Reply:
        began = self._monotonic()
        response: Any = None
        try:
            response = method(*args, **options, _preload_content=False, _request_timeout=TIMEOUT)
            content = read_body(response)
            if content:
                check_content_type(response.headers)
        except TooLarge as error:
            raise AnswerTooLarge(Side.HUBSPOT, error, response.status) from None
        except ApiException as error:
            # Not chained: the exception's text is the whole answer, personal data included.
            raise self._refusal(error) from None
        except (AttributeError, UnicodeDecodeError) as error:
            # The SDK fails on errors without a body (TLS) and on bodies that are not UTF-8.
            if not isinstance(error.__context__, ApiException):
                raise
            raise self._refusal(error.__context__) from None
        except (HTTPError, OSError) as error:
            raise read_network_error(error) from error
        self._note_limits(response.headers)
        timing = read_timing(response.headers, self._monotonic() - began, time.time_ns() // 1_000_000)
        if not content:
            return Reply(response.status, timing)
        return Reply(response.status, timing, _read_object(response.status, content))

    def call_path(self, verb: str, path: str, body: Mapping[str, object] | None = None, **variables: str) -> Reply:
        """One request to a path of ``api_paths`` that the SDK does not have. Raises CallError."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return self.call(
            self._raw.call_api,
            path,
            verb,
            path_params=variables,
            header_params=headers,
            body=body,
            auth_settings=["oauth2"],
            response_types_map={},
        )

    def _refusal(self, error: Any) -> CallError:
        if not error.status:
            return read_network_error(error)
        headers = dict(error.headers or {})
        self._note_limits(headers)
        try:
            body = parse_vendor(error.body or b"")
        except ValueError:
            body = None
        return self._errors.read_answer(error.status, headers, body)

    def _note_limits(self, headers: Mapping[str, str]) -> None:
        limits = {
            name.lower(): whole(value) for name, value in headers.items() if name.lower().startswith("x-hubspot-r")
        }
        if limits:
            prefix = "x-hubspot-ratelimit-"
            self.last_limits = Limits(
                limits.get(prefix + "max"),
                limits.get(prefix + "interval-milliseconds"),
                limits.get(prefix + "remaining"),
                limits.get(prefix + "daily-remaining"),
                limits.get(prefix + "daily"),
            )


def _read_object(status: int, content: bytes) -> Mapping[str, object]:
    """Return the object of a 2xx answer. Raises ``CallError`` for anything else, and for an error in its place."""
    try:
        body = parse_vendor(content)
    except ValueError as error:
        raise read_unreadable(status, "not JSON") from error
    if not isinstance(body, dict):
        raise read_unreadable(status, "not an object")
    if body.get("status") == "error":
        raise read_unreadable(status, "an error, although its status is that of a success")
    return body
