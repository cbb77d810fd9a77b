import gc
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fhir_server import outbound
from fhir_server.errors import BadRequest, Unavailable
from fhir_server.outbound import Place, fetch, is_public, resolved
from fhir_server.security_settings import OutboundSettings
from tests.fhir_server.peer import Peer, peer

SETTINGS = OutboundSettings()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Peer]:
    async with peer(tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
        *("2002:7f00:1::", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "fec0::1"),
    ],
)
def test_an_address_that_is_not_of_the_internet_is_not_asked(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::808:808"])
def test_an_address_of_the_internet_is_asked(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https://user@example.org/",
        "https://example.org:8443/",
        "https://example.org:99999/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://localhost/",
        "https://169.254.169.254/latest/meta-data/",
        "https://example.org\\@127.0.0.1/",
        "https://exämple.org/",
        "https://example.org/\r\nX: y",
    ],
)
async def test_a_url_that_leads_inside_is_refused(url: str) -> None:
    with pytest.raises((BadRequest, Unavailable)):
        await fetch(SETTINGS, url)


def _naming(answers: Sequence[list[str]]) -> Any:
    """A name that resolves to other addresses each time."""
    given = iter(answers)

    async def addresses(_: str, __: int) -> Any:
        return tuple(ipaddress.ip_address(one) for one in next(given))

    return addresses


async def test_a_name_is_resolved_once_and_all_its_addresses_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        outbound, "_addresses", _naming([["93.184.215.14"], ["93.184.215.14", "127.0.0.1"]])
    )
    place = await resolved(SETTINGS, "https://example.org/keys?a=b")
    assert place == Place("example.org", 443, ("93.184.215.14",), "/keys?a=b")
    with pytest.raises(BadRequest, match="address"):
        await resolved(SETTINGS, "https://example.org/keys")


async def test_a_host_that_looks_like_a_listed_one_is_not_listed(other: Peer) -> None:
    assert (await fetch(other.settings, other.url("/"))).status == 200
    for host in ("localhost.example.org", "localhost@127.0.0.1", "127.0.0.1", "notlocalhost"):
        with pytest.raises((BadRequest, Unavailable)):
            await fetch(other.settings, other.url("/").replace("localhost", host))
    assert len(other.seen) == 1


async def test_an_answer_comes_whole_and_nothing_is_followed(
    other: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", "/dev/null")
    other.answers["/moved"] = (302, {"Location": other.url("/inside")}, b"")
    other.answers["/large"] = (200, {}, b"x" * (other.settings.answer_bytes + 1))
    other.answers["/packed"] = (200, {"Content-Encoding": "gzip"}, b"x")
    found = await fetch(other.settings, other.url("/a?b=c"), headers={"accept": "a/b"})
    assert (found.status, found.body, other.seen[-1][:2]) == (200, b"{}", ("GET", "/a?b=c"))
    assert other.seen[-1][2]["host"] == f"localhost:{other.port}"
    assert "authorization" not in other.seen[-1][2]
    assert (await fetch(other.settings, other.url("/moved"))).status == 302
    assert [path for _, path, _, _ in other.seen] == ["/a?b=c", "/moved"]
    for path in ("/large", "/packed"):
        with pytest.raises(Unavailable):
            await fetch(other.settings, other.url(path))


async def test_a_certificate_is_of_the_name_and_of_a_known_authority(
    other: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = other.settings.model_copy(update={"ca_file": ""})
    with pytest.raises(Unavailable):
        await fetch(stranger, other.url("/"))
    renamed = other.settings.model_copy(update={"inside": ("other.example.org",), "ports": ()})
    named = renamed.model_copy(update={"inside": (f"other.example.org:{other.port}",)})
    monkeypatch.setattr(outbound, "_addresses", _naming([["127.0.0.1"]]))
    with pytest.raises(Unavailable):
        await fetch(named, other.url("/").replace("localhost", "other.example.org"))
    with pytest.raises(BadRequest, match="port"):
        await fetch(renamed, other.url("/").replace("localhost", "other.example.org"))
    assert other.seen == []


async def test_who_does_not_answer_in_time_is_given_up(other: Peer) -> None:
    quick = other.settings.model_copy(update={"seconds": 0.5})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        inside = quick.model_copy(update={"inside": (f"localhost:{port}",)})
        with pytest.raises(Unavailable):
            await fetch(inside, f"https://localhost:{port}/")
        # A connection that was left open would be complained of here.
        gc.collect()
