"""How requests to both vendors leave: hosts, redirects, proxy and authorities, the same for both SDKs."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import stripe
from urllib3.exceptions import HTTPError

from tests.support.canned_server import CannedServer, Told
from tests.support.certificates import Authority
from tests.support.hubspot_answers import FIELDS
from tests.support.recording_proxy import RecordingProxy
from tests.support.stripe_answers import CUSTOMER
from wanesync.adapters.api_keys import FixedKey
from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions
from wanesync.adapters.network import (
    VENDOR_ADDRESSES,
    ForeignAddress,
    NetworkPolicy,
    check_target,
    choose_address,
    describe_policy,
    find_proxy,
    make_context,
    open_manager,
    open_proxy,
)
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions
from wanesync.adapters.stripe.transport import PooledClient
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.model import Side

ANSWER = {"portalId": 1, "id": "acct_1"}
"""An account as both vendors name it."""
VARIABLES = ("no_proxy", "http_proxy", "https_proxy", "all_proxy", "request_method", "ssl_cert_file", "ssl_cert_dir")
FURTHER = ("requests_ca_bundle", "curl_ca_bundle", "sslkeylogfile", "netrc")


@pytest.fixture(name="environment", autouse=True)
def clear_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*VARIABLES, *FURTHER):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def ask(side: Side, policy: NetworkPolicy, url: str | None = None) -> str:
    """Ask for the account by the SDK of a side, and return its id."""
    if side is Side.HUBSPOT:
        return HubSpotAdapter(HubSpotOptions("pat-secret", url, network=policy), FIELDS).account().id
    options = StripeOptions("sk_test_secret", url, event_key=b"k", network=policy)
    return StripeAdapter(options, FIELDS).account().id


both_sides = pytest.mark.parametrize("side", list(Side))


# -- hosts


@both_sides
@pytest.mark.parametrize("url", ["https://evil.example", "http://127.0.0.1:1", "https://api.stripe.com.evil.example"])
def test_another_host_gets_no_key_unless_it_is_allowed(side: Side, url: str) -> None:
    with pytest.raises(ConfigError, match=f"{side}.base_url: is not https://api") as raised:
        ask(side, NetworkPolicy(), url)
    assert "allow_base_url" in str(raised.value)
    assert choose_address(side, url, NetworkPolicy(allow_base_url=True)) == url
    assert choose_address(side, None, NetworkPolicy()) == VENDOR_ADDRESSES[side]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1/customers",
        "https://api.stripe.com.evil.example/v1",
        "https://api.stripe.com@evil.example/v1",
        "http://api.stripe.com/v1",
        "https://api.stripe.com:8443/v1",
        "//evil.example/v1",
        "/v1/customers",
    ],
)
def test_a_target_outside_the_pinned_address_is_not_asked(url: str) -> None:
    with pytest.raises(HTTPError, match="another address"):
        check_target(url, "https://api.stripe.com")


def test_a_link_to_the_next_page_on_another_host_is_not_followed() -> None:
    policy = NetworkPolicy(allow_base_url=True)
    with CannedServer(Told(200, {})) as elsewhere:
        link = f"{elsewhere.url}/crm/v3/objects/contacts?after=2"
        contacts: dict[str, object] = {"results": [], "paging": {"next": {"after": "2", "link": link}}}
        with CannedServer(Told(200, contacts), Told(200, {"results": []})) as server:
            hubspot = HubSpotAdapter(HubSpotOptions("pat-secret", server.url, network=policy), FIELDS)
            hubspot.list_contacts(hubspot.list_contacts("").next)
            assert len(server.asked) == 2
        url = f"{elsewhere.url}/v1/customers"
        customers: dict[str, object] = {"object": "list", "data": [CUSTOMER], "has_more": True, "url": url}
        with CannedServer(Told(200, customers)) as server:
            options = StripeOptions("sk_test_secret", server.url, network=policy, event_key=b"k")
            assert StripeAdapter(options, FIELDS).list_customers("", 0, 0).next
        assert elsewhere.asked == []


def test_a_path_of_an_sdk_that_leads_to_another_host_is_not_sent() -> None:
    policy = NetworkPolicy(allow_base_url=True)
    with CannedServer(Told(200, ANSWER)) as elsewhere, CannedServer(Told(200, ANSWER)) as server:
        hubspot = HubSpotAdapter(HubSpotOptions("pat-secret", server.url, network=policy), FIELDS)
        hubspot._client._raw.configuration.host = elsewhere.url
        with pytest.raises(CallError, match="another address") as raised:
            hubspot.account()
        assert raised.value.failure is Failure.UNREACHED
        client = PooledClient(server.url, lambda: None, policy, FixedKey("sk_test_x"))
        with pytest.raises(stripe.APIConnectionError) as refused:
            client.request("get", f"{elsewhere.url}/v1/account", {})
        assert isinstance(refused.value.__cause__, ForeignAddress)
        assert (elsewhere.asked, server.asked) == ([], [])


# -- redirects


@both_sides
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_by_name_and_the_key_is_not_sent_on(side: Side, status: int) -> None:
    with (
        CannedServer(Told(200, ANSWER)) as elsewhere,
        CannedServer(Told(status, b"", {"Location": f"{elsewhere.url}/v1/account"})) as server,
    ):
        with pytest.raises(CallError, match="redirected") as raised:
            ask(side, NetworkPolicy(allow_base_url=True), server.url)
        assert raised.value.failure is Failure.UNAVAILABLE
        assert len(server.asked) == 1
        assert elsewhere.asked == []


# -- the proxy


@both_sides
def test_both_sdks_go_by_the_configured_proxy_to_the_vendors_own_host(side: Side, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    host = VENDOR_ADDRESSES[side].removeprefix("https://")
    with (
        CannedServer(Told(200, ANSWER), tls=authority.issue(host).serve()) as server,
        RecordingProxy(server.url) as proxy,
    ):
        policy = NetworkPolicy(f"http://ann:p%40ss@{proxy.address}", str(authority.file))
        ask(side, policy)
        login = f"Basic {base64.b64encode(b'ann:p@ss').decode()}"
        assert proxy.asked == [("CONNECT", f"{host}:443", login)]
        assert "Proxy-Authorization" not in server.asked[0].headers
        assert "p%40ss" not in repr(policy)


@both_sides
@pytest.mark.parametrize("used", [True, False])
def test_the_proxy_of_the_environment_counts_only_when_asked_for(
    side: Side, used: bool, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    with (
        CannedServer(Told(200, ANSWER), tls=authority.issue("127.0.0.1").serve()) as server,
        RecordingProxy(server.url) as proxy,
    ):
        environment.setenv("HTTPS_PROXY", proxy.url)
        policy = NetworkPolicy(ca_bundle=str(authority.file), use_environment=used, allow_base_url=True)
        ask(side, policy, server.url)
        target = server.url.removeprefix("https://")
        assert proxy.asked == ([("CONNECT", target, "")] if used else [])
        environment.setenv("NO_PROXY", "127.0.0.1")
        ask(side, policy, server.url)
        assert len(proxy.asked) == used, "NO_PROXY counts as well"


@both_sides
def test_the_configured_proxy_goes_before_that_of_the_environment(side: Side, environment: pytest.MonkeyPatch) -> None:
    with CannedServer(Told(200, ANSWER)) as ours, CannedServer(Told(200, ANSWER)) as theirs:
        environment.setenv("http_proxy", theirs.url)
        environment.setenv("no_proxy", "*")
        ask(side, NetworkPolicy(ours.url, use_environment=True, allow_base_url=True), "http://127.0.0.1:9")
        assert [asked.path.startswith("http://127.0.0.1:9/") for asked in ours.asked] == [True]
        assert theirs.asked == []


STRIPE = "https://api.stripe.com"


@pytest.mark.parametrize(
    ("address", "variables", "proxy"),
    [
        (STRIPE, {}, None),
        (STRIPE, {"http_proxy": "http://p:1"}, None),
        (STRIPE, {"https_proxy": "http://p:1"}, "http://p:1"),
        (STRIPE, {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        (STRIPE, {"all_proxy": "http://p:1"}, "http://p:1"),
        (STRIPE, {"https_proxy": "http://p:1", "all_proxy": "http://p:2"}, "http://p:1"),
        (STRIPE, {"https_proxy": "http://p:1", "no_proxy": "example.com, stripe.com"}, None),
        (STRIPE, {"https_proxy": "http://p:1", "no_proxy": "*"}, None),
        (STRIPE, {"https_proxy": "http://p:1", "no_proxy": "example.com,10.0.0.0/8"}, "http://p:1"),
        ("http://10.1.2.3:7102", {"http_proxy": "http://p:1", "no_proxy": "10.0.0.0/8"}, None),
        ("http://10.1.2.3:7102", {"http_proxy": "http://p:1", "no_proxy": "10.1.2.3:7102"}, None),
        ("http://11.1.2.3:7102", {"http_proxy": "http://p:1", "no_proxy": "10.0.0.0/8"}, "http://p:1"),
        ("http://11.1.2.3:7102", {"http_proxy": "http://p:1", "no_proxy": "what/ever"}, "http://p:1"),
    ],
)
def test_which_proxy_the_environment_names(
    environment: pytest.MonkeyPatch, address: str, variables: dict[str, str], proxy: str | None
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    assert find_proxy(address, NetworkPolicy(use_environment=True)) == proxy
    assert find_proxy(address, NetworkPolicy()) is None


def test_a_proxy_gets_its_own_name_and_password() -> None:
    opened = open_proxy("http://ann:p%40ss@proxy.example:3128", NetworkPolicy(), 1, None)
    assert opened.proxy_headers == {"proxy-authorization": f"Basic {base64.b64encode(b'ann:p@ss').decode()}"}
    assert (opened.proxy.host if opened.proxy else None) == "proxy.example"
    assert opened.proxy is not None
    assert opened.proxy.auth is None, "no error of urllib3 can show it"
    bare = open_proxy("proxy.example:3128", NetworkPolicy(), 1, None)
    assert bare.proxy_headers == {}, "without a scheme it is an http proxy"


@pytest.mark.parametrize("proxy", ["socks5://ann:planted@127.0.0.1:1080", "ftp://127.0.0.1"])
def test_a_proxy_of_another_kind_is_refused(environment: pytest.MonkeyPatch, proxy: str) -> None:
    environment.setenv("all_proxy", proxy)
    with pytest.raises(ConfigError, match="only http") as raised:
        open_manager(STRIPE, NetworkPolicy(use_environment=True), 1)
    assert "planted" not in str(raised.value)


# -- authorities


@both_sides
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_authorities_of_the_environment_count_only_when_asked_for(
    side: Side, name: str, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    with CannedServer(Told(200, ANSWER), tls=authority.issue("127.0.0.1").serve()) as server:
        environment.setenv(name, str(authority.file))
        with pytest.raises(CallError) as raised:
            ask(side, NetworkPolicy(allow_base_url=True), server.url)
        assert raised.value.failure is Failure.UNREACHED
        assert server.asked == []
        ask(side, NetworkPolicy(use_environment=True, allow_base_url=True), server.url)
        assert len(server.asked) == 1


@both_sides
def test_a_certificate_of_another_host_or_authority_is_refused(side: Side, tmp_path: Path) -> None:
    ours, other = Authority(tmp_path), Authority(tmp_path, "Other CA")
    policy = NetworkPolicy(ca_bundle=str(ours.file), allow_base_url=True)
    for pair in (ours.issue("evil.example"), other.issue("127.0.0.1")):
        with CannedServer(Told(200, ANSWER), tls=pair.serve()) as server:
            with pytest.raises(CallError):
                ask(side, policy, server.url)
            assert server.asked == []


@both_sides
def test_tls_1_1_is_refused(side: Side, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    old = authority.issue("127.0.0.1").serve()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with CannedServer(Told(200, ANSWER), tls=old) as server:
        with pytest.raises(CallError):
            ask(side, NetworkPolicy(ca_bundle=str(authority.file), allow_base_url=True), server.url)
        assert server.asked == []


@pytest.mark.parametrize("make", [lambda folder: folder / "absent.pem", lambda folder: _write(folder, "no PEM")])
def test_a_file_without_authorities_is_a_configuration_error(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(ConfigError, match=r"network\.ca_bundle: .* cannot be used"):
        make_context(NetworkPolicy(ca_bundle=str(make(tmp_path))))


def _write(folder: Path, text: str) -> Path:
    path = folder / "bundle.pem"
    path.write_text(text)
    return path


@both_sides
def test_neither_netrc_nor_a_log_of_session_keys_is_used(
    side: Side, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc, keys = tmp_path / "netrc", tmp_path / "keys.log"
    netrc.write_text("machine 127.0.0.1 login planted password planted\n")
    netrc.chmod(0o600)
    environment.setenv("NETRC", str(netrc))
    environment.setenv("SSLKEYLOGFILE", str(keys))
    authority = Authority(tmp_path)
    with CannedServer(Told(200, ANSWER), tls=authority.issue("127.0.0.1").serve()) as server:
        ask(side, NetworkPolicy(ca_bundle=str(authority.file), use_environment=True, allow_base_url=True), server.url)
        sent = server.asked[0].headers["Authorization"]
    assert sent.partition(" ")[2] in ("pat-secret", "sk_test_secret")
    assert not keys.exists()


def test_the_policy_is_described_without_the_login_of_the_proxy(tmp_path: Path) -> None:
    policy = NetworkPolicy("http://ann:planted@proxy.example:3128", str(tmp_path / "ca.pem"))
    assert describe_policy(policy, STRIPE) == f"by the proxy proxy.example, certificates checked with {tmp_path}/ca.pem"
    assert describe_policy(NetworkPolicy(), STRIPE) == "directly, certificates checked with certifi"
